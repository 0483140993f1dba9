use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path};

use serde_json::{Value, json};
use tovar::prometheus;

use super::Store;

const TARGETS: &str = "targets.json";

/// What a series showed, second by second.
pub struct Samples {
    pub series: Value,
    pub values: Vec<Option<f64>>,
}

/// A real Prometheus that scrapes a store every second, with the rules of `grafana/rules`. It ends
/// with the test.
pub struct Prometheus(prometheus::Prometheus);

impl Prometheus {
    /// `None`, and a line that says so, where no Prometheus is installed.
    pub async fn start(store: &Store) -> Option<Self> {
        if !prometheus::Prometheus::is_installed().await {
            eprintln!(
                "skipped: no `prometheus` on the PATH (on Debian: apt-get install prometheus)"
            );
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../grafana/rules");
        for name in ["slo.yaml", "alerts.yaml"] {
            // The recordings of months are looked at within a minute.
            let text = fs::read_to_string(rules.join(name)).unwrap();
            let text = text.replace("interval: 30s", "interval: 2s");
            fs::write(folder.path().join(name), text).unwrap();
        }
        let config = json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": ["slo.yaml", "alerts.yaml"],
            "scrape_configs": [
                { "job_name": "tovar", "file_sd_configs": [{ "files": [TARGETS] }] },
            ],
        });
        fs::write(folder.path().join("prometheus.yml"), config.to_string()).unwrap();
        write_targets(folder.path(), store);
        Some(Self(prometheus::Prometheus::start(folder).await.unwrap()))
    }

    /// Scrapes the processes that the store has now.
    pub fn follow(&self, store: &Store) {
        write_targets(self.0.folder().expect("it is our own"), store);
    }

    /// The samples of a series selector between two moments, in seconds since 1970, one a second:
    /// by series, `None` where it showed nothing.
    pub async fn samples(
        &self,
        selector: &str,
        from: i64,
        to: i64,
    ) -> anyhow::Result<Vec<Samples>> {
        let parameters = [
            ("query", selector.to_owned()),
            ("start", from.to_string()),
            ("end", to.to_string()),
            ("step", "1".to_owned()),
        ];
        let found = self.0.ask("query_range", &parameters).await?;
        let series = found["result"].as_array().into_iter().flatten();
        Ok(series
            .map(|series| {
                let found = series["values"].as_array().into_iter().flatten();
                let found: BTreeMap<i64, f64> = found
                    .filter_map(|pair| Some((pair[0].as_i64()?, pair[1].as_str()?.parse().ok()?)))
                    .collect();
                Samples {
                    series: series["metric"].clone(),
                    values: (from..=to).map(|at| found.get(&at).copied()).collect(),
                }
            })
            .collect())
    }

    /// The series that a query finds now, with their values.
    pub async fn query(&self, query: &str) -> anyhow::Result<Vec<(Value, f64)>> {
        self.0.query(query, None).await
    }

    /// The one value that a panel of a board shows at a moment, for a range of so many seconds
    /// before it.
    pub async fn panel(
        &self,
        (board, panel, legend): (&str, &str, &str),
        range: u64,
        at: f64,
    ) -> anyhow::Result<f64> {
        let query = prometheus::panel_query(board, panel, legend, range)?;
        let found = self.0.query(&query, Some(at)).await?;
        anyhow::ensure!(found.len() == 1, "{query} finds {found:?}");
        Ok(found[0].1)
    }
}

/// Replaces the file in one step, because Prometheus reads it at any moment.
fn write_targets(folder: &Path, store: &Store) {
    let targets: Vec<String> = store.all_ops().iter().map(SocketAddr::to_string).collect();
    let draft = folder.join("draft");
    fs::write(&draft, json!([{ "targets": targets }]).to_string()).unwrap();
    fs::rename(draft, folder.join(TARGETS)).unwrap();
}
