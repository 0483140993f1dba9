use std::path::PathBuf;

use crate::{store_file::StoreArgs, verify::DEFAULT_KEY_HOURS};

#[derive(Clone, Debug, clap::Args)]
pub struct LoadArgs {
    #[command(flatten)]
    pub store: StoreArgs,

    /// Address of a store without a store file; its manager's log-in is in TOVAR_MANAGER_EMAIL and
    /// TOVAR_MANAGER_PASSWORD, and verify cannot be run
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,

    /// People who use the store at the same time; one of them is its manager, one a courier
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(3..))]
    pub users: u32,

    /// People who come a second, until all are there
    #[arg(long, value_name = "PEOPLE", default_value_t = 4)]
    pub spawn_rate: u32,

    /// Seconds that the load lasts
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(5..)
    )]
    pub time: u64,

    /// Folder for the report: report.html, report.json, and what Locust printed
    #[arg(long, value_name = "FOLDER", default_value = "target/load")]
    pub report: PathBuf,

    /// A Prometheus that scrapes the store; without it one is started for the run, if it is
    /// installed
    #[arg(long, value_name = "URL")]
    pub prometheus: Option<String>,

    /// Ask no Prometheus
    #[arg(long, conflicts_with = "prometheus")]
    pub no_prometheus: bool,

    /// Print the report as JSON instead of text
    #[arg(long)]
    pub json: bool,

    /// Seconds to wait for what is under way at the end
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub wait: u64,

    /// Hours for which the services keep idempotency keys, by their settings
    #[arg(
        long,
        env = "IDEMPOTENCY_HOURS",
        value_name = "HOURS",
        default_value_t = DEFAULT_KEY_HOURS
    )]
    pub key_hours: u32,
}
