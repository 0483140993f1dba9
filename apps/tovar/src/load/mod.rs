//! `cargo tovar load`: people who use a running store for a minute, the proof that it did what it
//! answered, and a report.

mod boards;
mod locust;
mod record;
mod report;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, ensure};

use self::{boards::Watcher, locust::Locust, report::Report};
use crate::{
    store_file::{StoreArgs, StoreFile},
    verify::{self, Sources},
};

#[derive(Clone, Debug, clap::Args)]
pub struct LoadArgs {
    #[command(flatten)]
    store: StoreArgs,

    /// Address of a store without a store file; its manager's log-in is in TOVAR_MANAGER_EMAIL and
    /// TOVAR_MANAGER_PASSWORD, and verify cannot be run
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// People who use the store at the same time; one of them is its manager, one a courier
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(3..))]
    users: u32,

    /// People who come a second, until all are there
    #[arg(long, value_name = "PEOPLE", default_value_t = 4)]
    spawn_rate: u32,

    /// Seconds that the load lasts
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..))]
    time: u64,

    /// Folder for the report: report.html, report.json, and what Locust printed
    #[arg(long, value_name = "FOLDER", default_value = "target/load")]
    report: PathBuf,

    /// A Prometheus that scrapes the store; without it one is started for the run, if it is
    /// installed
    #[arg(long, value_name = "URL")]
    prometheus: Option<String>,

    /// Ask no Prometheus
    #[arg(long, conflicts_with = "prometheus")]
    no_prometheus: bool,

    /// Print the report as JSON instead of text
    #[arg(long)]
    json: bool,

    /// Seconds to wait for what is under way at the end
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    wait: u64,

    /// Hours for which the store keeps idempotency keys, as its services are told
    #[arg(
        long,
        env = "IDEMPOTENCY_HOURS",
        value_name = "HOURS",
        default_value_t = 24
    )]
    key_hours: u32,
}

/// Says by its exit code what came of it: 0 all is well; 1 the store contradicts the journal, or
/// itself; 2 it could not be loaded or checked; 3 something is not settled yet.
pub async fn load(args: LoadArgs) -> ExitCode {
    match run(&args).await {
        Ok(report) => {
            if args.json {
                println!("{}", report.json());
            } else {
                print!("{}", report.text());
                println!("report: {}", args.report.join("report.html").display());
            }
            ExitCode::from(report.code())
        }
        Err(error) => {
            eprintln!("error: the load cannot be done: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(args: &LoadArgs) -> anyhow::Result<Report> {
    let store = match (&args.url, args.store.read()) {
        (None, store) => Some(store?),
        (Some(_), _) => None,
    };
    let address = args
        .url
        .clone()
        .or_else(|| store.as_ref().map(|store| store.base_url.clone()))
        .context("a store has an address")?;
    std::fs::create_dir_all(&args.report)
        .with_context(|| format!("the folder {} cannot be made", args.report.display()))?;
    let watcher = Watcher::start(args, store.as_ref()).await?;
    let locust = Locust::start(args, &address, watcher.pause()).await?;
    let run = locust.until_ended(args).await?;
    let boards = watcher.read(&run).await?;
    let verified = match &store {
        Some(store) => Some(verified(args, store).await?),
        None => None,
    };
    let report = Report::new(&address, args.users, run, boards, verified);
    report.write(&args.report)?;
    Ok(report)
}

async fn verified(args: &LoadArgs, store: &StoreFile) -> anyhow::Result<verify::Report> {
    eprintln!("verify");
    let sources = Sources::of(store, args.key_hours);
    verify::settled(&sources, Duration::from_secs(args.wait))
        .await
        .context("verify")
}

/// The repository's folder, where the locustfile and the boards are.
fn repository() -> anyhow::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    ensure!(
        folder.join("locustfile.py").exists(),
        "{} has no locustfile.py; this command runs in a clone",
        folder.display()
    );
    Ok(folder.canonicalize()?)
}
