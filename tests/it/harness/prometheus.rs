use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tovar::client::wait_for;

use super::Store;

const TARGETS: &str = "targets.json";

/// What a series showed, second by second.
pub struct Samples {
    pub series: Value,
    pub values: Vec<Option<f64>>,
}

/// A real Prometheus that scrapes a store every second, with the rules of `grafana/rules`. It ends with the test.
pub struct Prometheus {
    base: String,
    http: reqwest::Client,
    _process: Child,
    data: TempDir,
}

impl Prometheus {
    /// `None`, and a line that says so, where no Prometheus is installed.
    pub async fn start(store: &Store) -> Option<Self> {
        if Command::new("prometheus")
            .arg("--version")
            .output()
            .await
            .is_err()
        {
            eprintln!("skipped: no `prometheus` on the PATH (on Debian: apt-get install prometheus)");
            return None;
        }
        let data = tempfile::tempdir().unwrap();
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../grafana/rules");
        for name in ["slo.yaml", "alerts.yaml"] {
            // The recordings of months are looked at within a minute.
            let text = fs::read_to_string(rules.join(name)).unwrap();
            fs::write(
                data.path().join(name),
                text.replace("interval: 30s", "interval: 2s"),
            )
            .unwrap();
        }
        let config = json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": ["*.yaml"],
            "scrape_configs": [{ "job_name": "tovar", "file_sd_configs": [{ "files": [TARGETS] }] }],
        });
        let file = data.path().join("prometheus.yml");
        fs::write(&file, config.to_string()).unwrap();
        let address = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                data.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let prometheus = Self {
            base: format!("http://{address}"),
            http: reqwest::Client::new(),
            _process: process,
            data,
        };
        prometheus.follow(store);
        wait_for("Prometheus to be ready", Duration::from_secs(30), async || {
            let ready = format!("{}/-/ready", prometheus.base);
            Ok(prometheus.http.get(ready).send().await?.status().is_success())
        })
        .await
        .unwrap();
        Some(prometheus)
    }

    /// Scrapes the processes that the store has now.
    pub fn follow(&self, store: &Store) {
        let targets: Vec<String> = store.all_ops().iter().map(SocketAddr::to_string).collect();
        let draft = self.data.path().join("draft");
        fs::write(&draft, json!([{ "targets": targets }]).to_string()).unwrap();
        fs::rename(draft, self.data.path().join(TARGETS)).unwrap();
    }

    /// The samples of a series selector between two moments, in seconds since 1970, one a second: by series, `None` where it
    /// showed nothing.
    pub async fn samples(&self, selector: &str, from: i64, to: i64) -> anyhow::Result<Vec<Samples>> {
        let parameters = [
            ("query", selector.to_owned()),
            ("start", from.to_string()),
            ("end", to.to_string()),
            ("step", "1".to_owned()),
        ];
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/query_range", self.base), &parameters)?;
        let answer: Value = self.http.get(url).send().await?.json().await?;
        anyhow::ensure!(answer["status"] == "success", "{selector}: {}", answer["error"]);
        let series = answer["data"]["result"].as_array().into_iter().flatten();
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
        let url =
            reqwest::Url::parse_with_params(&format!("{}/api/v1/query", self.base), [("query", query)])?;
        let answer: Value = self.http.get(url).send().await?.json().await?;
        anyhow::ensure!(answer["status"] == "success", "{query}: {}", answer["error"]);
        let found = answer["data"]["result"].as_array().into_iter().flatten();
        let value = |series: &Value| series["value"][1].as_str()?.parse().ok();
        Ok(found
            .filter_map(|series| Some((series["metric"].clone(), value(series)?)))
            .collect())
    }
}
