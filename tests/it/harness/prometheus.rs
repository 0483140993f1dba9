use std::{fs, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tovar::client::wait_for;

use super::Store;

/// A real Prometheus that scrapes a store every second, with the rules of `grafana/rules`. It ends with the test.
pub struct Prometheus {
    base: String,
    http: reqwest::Client,
    _process: Child,
    _data: TempDir,
}

impl Prometheus {
    /// `None`, and a line that says so, where no Prometheus is installed.
    pub async fn start(store: &Store) -> Option<Self> {
        if Command::new("prometheus").arg("--version").output().await.is_err() {
            eprintln!("skipped: no `prometheus` on the PATH (on Debian: apt-get install prometheus)");
            return None;
        }
        let data = tempfile::tempdir().unwrap();
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../grafana/rules");
        for name in ["slo.yaml", "alerts.yaml"] {
            // The recordings of months are looked at within a minute.
            let text = fs::read_to_string(rules.join(name)).unwrap();
            fs::write(data.path().join(name), text.replace("interval: 30s", "interval: 2s")).unwrap();
        }
        let targets: Vec<String> = store.all_ops().iter().map(SocketAddr::to_string).collect();
        let config = json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": ["*.yaml"],
            "scrape_configs": [{ "job_name": "tovar", "static_configs": [{ "targets": targets }] }],
        });
        let file = data.path().join("prometheus.yml");
        fs::write(&file, config.to_string()).unwrap();
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", data.path().join("data").display()))
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
            _data: data,
        };
        wait_for("Prometheus to be ready", Duration::from_secs(30), async || {
            let ready = format!("{}/-/ready", prometheus.base);
            Ok(prometheus.http.get(ready).send().await?.status().is_success())
        })
        .await
        .unwrap();
        Some(prometheus)
    }

    /// The series that a query finds now, with their values.
    pub async fn query(&self, query: &str) -> anyhow::Result<Vec<(Value, f64)>> {
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/query", self.base), [("query", query)])?;
        let answer: Value = self.http.get(url).send().await?.json().await?;
        anyhow::ensure!(answer["status"] == "success", "{query}: {}", answer["error"]);
        let found = answer["data"]["result"].as_array().into_iter().flatten();
        let value = |series: &Value| series["value"][1].as_str()?.parse().ok();
        Ok(found
            .filter_map(|series| Some((series["metric"].clone(), value(series)?)))
            .collect())
    }
}
