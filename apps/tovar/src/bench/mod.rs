//! `cargo tovar bench`: what the store, its relay and its inbox do, measured.
#![expect(
    clippy::cast_precision_loss,
    reason = "counts and sizes of a run are far below what a float shows exactly"
)]

mod consume;
mod hops;
mod inbox;
mod memory;
mod orders;
mod outbox;
mod processes;
mod report;

use std::{os::unix::process::CommandExt, process::Command};

use anyhow::Context;
use clap::{Args, Subcommand};

use self::report::BenchReport;
use crate::{cargo, store_file::StoreArgs};

#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: What,

    /// Print JSON instead of a table
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// The relay, or a peer, on a PostgreSQL and a Kafka of its own: rate, latency, cost
    Outbox(outbox::OutboxArgs),
    /// The inbox, on a PostgreSQL and a Kafka of its own: events applied a second
    Inbox(inbox::InboxArgs),
    /// Whole orders on a running store (`cargo tovar up --release`, with RATE_LIMIT=0): rate,
    /// latency, cost, the way of an order hop by hop; then verify
    Orders {
        #[command(flatten)]
        orders: orders::OrdersArgs,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Resident memory of every process of a running store
    Memory {
        #[command(flatten)]
        store: StoreArgs,
    },
    #[command(hide = true)]
    NaiveRelay(outbox::naive::NaiveArgs),
}

pub async fn bench(args: BenchArgs) -> anyhow::Result<()> {
    if cfg!(debug_assertions) && !matches!(args.what, What::Memory { .. }) {
        return again_in_release();
    }
    let mut report = BenchReport::new();
    match args.what {
        What::NaiveRelay(args) => return outbox::naive::relay(args).await,
        What::Outbox(args) => outbox::measure(&args, &mut report).await?,
        What::Inbox(args) => inbox::measure(&args, &mut report).await?,
        What::Orders { orders, store } => {
            orders::measure(&orders, &store.read()?, &mut report).await?;
        }
        What::Memory { store } => memory::measure(&store.read()?, &mut report)?,
    }
    report.print(args.json)
}

/// Runs the same command again as a release build, with a release build of the relay. A debug build
/// would measure its own slowness.
fn again_in_release() -> anyhow::Result<()> {
    let packages = [
        "--release",
        "--package",
        "tovar",
        "--package",
        "outbox-relay",
    ];
    let built = cargo::command().arg("build").args(packages).status();
    anyhow::ensure!(
        built.context("cargo cannot be run")?.success(),
        "the build failed; see above"
    );
    let here = std::env::current_exe()?;
    let target = here
        .parent()
        .and_then(std::path::Path::parent)
        .context("this program lies in no target folder")?;
    let error = Command::new(target.join("release/tovar"))
        .args(std::env::args_os().skip(1))
        .exec();
    Err(error).context("the release build cannot be run")
}
