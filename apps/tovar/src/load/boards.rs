//! The numbers that the load-test board shows for the run.

use anyhow::Context;
use serde::Serialize;
use serde_json::json;

use super::{args::LoadArgs, locust::Run};
use crate::{
    prometheus::{Prometheus, panel_query},
    store_file::StoreFile,
};

const BOARD: &str = "load-test";

/// The Prometheus that scrapes the store during the run, if there is one.
pub struct Watcher {
    prometheus: Option<Prometheus>,
    pause: f64,
    why_not: &'static str,
}

/// The values of the board's panels, from a pause before the load to one after it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Shown {
    pub requests: Option<f64>,
    pub errors: Option<f64>,
    pub orders_placed: Option<f64>,
    pub orders_ended: Option<f64>,
    /// Seconds.
    pub p50: Option<f64>,
    pub p99: Option<f64>,
    /// Why there are no values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<&'static str>,
}

impl Watcher {
    pub async fn start(args: &LoadArgs, store: Option<&StoreFile>) -> anyhow::Result<Self> {
        let none = |why_not| {
            Ok(Self {
                prometheus: None,
                pause: 0.0,
                why_not,
            })
        };
        if args.no_prometheus {
            return none("no Prometheus was asked");
        }
        if let Some(base) = &args.prometheus {
            let prometheus = Prometheus::at(base);
            let pause = prometheus.scrape_interval().await? * 1.2 + 1.5;
            return Ok(Self {
                prometheus: Some(prometheus),
                pause,
                why_not: "",
            });
        }
        let Some(store) = store else {
            return none(
                "without a store file its processes are not known; --prometheus names one that \
                 scrapes them",
            );
        };
        if !Prometheus::is_installed().await {
            return none("no `prometheus` on the PATH (on Debian: apt-get install prometheus)");
        }
        eprintln!("a Prometheus for the run is started");
        Ok(Self {
            prometheus: Some(own(store).await?),
            // Longer than two scrapes, as it scrapes every second.
            pause: 2.5,
            why_not: "",
        })
    }

    /// The pause before and after the load, in seconds: nothing is sent in it, and it is long
    /// enough for a scrape.
    pub fn pause(&self) -> f64 {
        self.pause
    }

    /// Runs the board's own queries.
    pub async fn read(&self, run: &Run) -> anyhow::Result<Shown> {
        let Some(prometheus) = &self.prometheus else {
            return Ok(Shown {
                missing: Some(self.why_not),
                ..Shown::default()
            });
        };
        // The range must not reach back before the pause, when the shop was opened.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "seconds of a run, and positive"
        )]
        let range = (run.quiet_until - run.quiet_from).floor().max(1.0) as u64;
        let value = async |panel: &str, legend: &str| {
            let query = panel_query(BOARD, panel, legend, range)?;
            let found = prometheus.query(&query, Some(run.quiet_until)).await;
            let found = found.with_context(|| format!("the panel {panel}"))?;
            let value = found.first().map(|(_, value)| *value);
            anyhow::Ok(value.filter(|value| value.is_finite()))
        };
        Ok(Shown {
            requests: value("Requests", "requests").await?,
            errors: value("Errors", "errors").await?,
            orders_placed: value("Orders placed", "placed").await?,
            orders_ended: value("Orders ended", "ended").await?,
            p50: value("Answered within", "p50").await?,
            p99: value("Answered within", "p99").await?,
            missing: None,
        })
    }
}

async fn own(store: &StoreFile) -> anyhow::Result<Prometheus> {
    let targets: Vec<&str> = store
        .ops
        .values()
        .map(|url| url.trim_start_matches("http://"))
        .collect();
    let config = json!({
        "global": { "scrape_interval": "1s" },
        "scrape_configs": [{ "job_name": "tovar", "static_configs": [{ "targets": targets }] }],
    });
    let folder = tempfile::tempdir()?;
    // JSON is YAML.
    std::fs::write(folder.path().join("prometheus.yml"), config.to_string())?;
    Prometheus::start(folder).await
}
