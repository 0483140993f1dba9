//! `cargo tovar load`: lets people use a running store for a minute, checks that the store did what
//! it answered, and writes a report.

mod args;
mod boards;
mod locust;
mod record;
mod report;
mod repository;

use std::{process::ExitCode, time::Duration};

use anyhow::Context;

pub use self::args::LoadArgs;
use self::{boards::Watcher, locust::Locust, report::LoadReport};
use crate::{
    store_file::StoreFile,
    verify::{self, Sources},
};

/// Returns an exit code: 0 all is well; 1 the store contradicts the journal, or itself; 2 it could
/// not be loaded or checked; 3 something is not settled yet.
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

async fn run(args: &LoadArgs) -> anyhow::Result<LoadReport> {
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
    let report = LoadReport::new(&address, args.users, run, boards, verified);
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
