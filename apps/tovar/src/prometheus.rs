//! A Prometheus: one that runs elsewhere, or one that this process starts; and the queries of the
//! boards.

use std::{fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::client::wait_for;

pub struct Prometheus {
    pub base: String,
    http: reqwest::Client,
    /// Its configuration and data, and its process, if this process started it.
    own: Option<(TempDir, Child)>,
}

impl Prometheus {
    /// A Prometheus that runs elsewhere.
    pub fn at(base: &str) -> Self {
        Self {
            base: base.trim_end_matches('/').to_owned(),
            http: reqwest::Client::new(),
            own: None,
        }
    }

    /// Whether there is a `prometheus` on the PATH.
    pub async fn is_installed() -> bool {
        let version = Command::new("prometheus").arg("--version").output().await;
        version.is_ok_and(|output| output.status.success())
    }

    /// Starts a Prometheus with the `prometheus.yml` of a folder, which also contains the files
    /// that it names. It ends when this is dropped.
    pub async fn start(folder: TempDir) -> anyhow::Result<Self> {
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let option =
            |name: &str, file: &str| format!("--{name}={}", folder.path().join(file).display());
        let process = Command::new("prometheus")
            .arg(option("config.file", "prometheus.yml"))
            .arg(option("storage.tsdb.path", "data"))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("prometheus cannot be started")?;
        let mut prometheus = Self::at(&format!("http://{address}"));
        prometheus.own = Some((folder, process));
        wait_for(
            "Prometheus to be ready",
            Duration::from_secs(30),
            async || {
                let ready = format!("{}/-/ready", prometheus.base);
                Ok(prometheus
                    .http
                    .get(ready)
                    .send()
                    .await?
                    .status()
                    .is_success())
            },
        )
        .await?;
        Ok(prometheus)
    }

    /// The folder of a Prometheus that this process started.
    pub fn folder(&self) -> Option<&Path> {
        self.own.as_ref().map(|(folder, _)| folder.path())
    }

    /// The answer of its API under `/api/v1/`.
    pub async fn ask(&self, path: &str, parameters: &[(&str, String)]) -> anyhow::Result<Value> {
        let url =
            reqwest::Url::parse_with_params(&format!("{}/api/v1/{path}", self.base), parameters)?;
        let answer: Value = self
            .http
            .get(url)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .with_context(|| format!("{} does not answer as a Prometheus does", self.base))?
            .json()
            .await?;
        ensure!(answer["status"] == "success", "{}", answer["error"]);
        Ok(answer["data"].clone())
    }

    /// The series that a query finds, with their values, at a time in seconds since 1970, or now.
    pub async fn query(&self, query: &str, at: Option<f64>) -> anyhow::Result<Vec<(Value, f64)>> {
        let mut parameters = vec![("query", query.to_owned())];
        parameters.extend(at.map(|at| ("time", format!("{at:.3}"))));
        let found = self
            .ask("query", &parameters)
            .await
            .with_context(|| query.to_owned())?;
        let found = found["result"].as_array().into_iter().flatten();
        let value = |series: &Value| series["value"][1].as_str()?.parse().ok();
        Ok(found
            .filter_map(|series| Some((series["metric"].clone(), value(series)?)))
            .collect())
    }

    /// Seconds between two scrapes of the store's processes.
    pub async fn scrape_interval(&self) -> anyhow::Result<f64> {
        let found = self.query(
            "count_over_time(tovar_build_info{process=\"gateway\"}[5m]) > 1",
            None,
        );
        ensure!(
            !found.await?.is_empty(),
            "{} has not scraped the store's gateway",
            self.base
        );
        let targets = self
            .ask("targets", &[("state", "active".to_owned())])
            .await?;
        let targets = targets["activeTargets"].as_array().into_iter().flatten();
        let longest = targets
            .filter_map(|target| seconds(target["scrapeInterval"].as_str()?))
            .reduce(f64::max);
        longest.context("no target is scraped")
    }
}

/// A duration as Prometheus writes it, such as `1m30s` or `500ms`.
fn seconds(text: &str) -> Option<f64> {
    let mut sum = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = rest.split_at(digits);
        let length = unit
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(unit.len());
        let scale = match &unit[..length] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * scale;
        rest = &unit[length..];
    }
    Some(sum)
}

/// The query of a panel on a board of `grafana/boards`, as Grafana sends it for a range of `range`
/// seconds with all variables at "all". `legend` chooses among a panel's queries.
pub fn panel_query(board: &str, panel: &str, legend: &str, range: u64) -> anyhow::Result<String> {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../grafana/boards/{board}.json"));
    let text =
        fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    let text: Value = serde_json::from_str(&text)?;
    let panels = text["panels"].as_array().into_iter().flatten();
    let mut targets = panels
        .filter(|found| found["title"] == panel)
        .filter_map(|found| found["targets"].as_array())
        .flatten();
    let target = targets.find(|target| target["legendFormat"] == legend);
    let query = target.and_then(|target| target["expr"].as_str());
    let query =
        query.with_context(|| format!("the board {board} has no {legend} in a panel {panel}"))?;
    Ok(as_sent(query, &format!("{range}s"), &format!("{range}s")))
}

/// A board's query with its variables filled in.
pub fn as_sent(query: &str, rate_interval: &str, range: &str) -> String {
    query
        .replace("$__rate_interval", rate_interval)
        .replace("$__range", range)
        .replace("$service", ".*")
        .replace("$slo", ".*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_prometheus_are_read() {
        for (text, wanted) in [
            ("5s", 5.0),
            ("1m30s", 90.0),
            ("500ms", 0.5),
            ("1h", 3_600.0),
        ] {
            assert!(
                seconds(text).is_some_and(|found| (found - wanted).abs() < 1e-9),
                "{text}"
            );
        }
        assert_eq!(seconds("soon"), None);
    }

    #[test]
    fn the_load_test_boards_panels_are_found_by_title() {
        let query = panel_query("load-test", "Requests", "requests", 60).unwrap();
        assert!(query.contains("[60s]"), "{query}");
        assert!(panel_query("load-test", "No such panel", "requests", 60).is_err());
    }
}
