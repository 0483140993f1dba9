//! `cargo tovar demo`: places orders that end in every possible way, shows their timelines, and
//! checks their results.

mod own_store;
mod processes;
mod scenarios;
mod shop;
mod show;
pub mod stock;

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::{
    client::{Client, wait_for},
    store_file::{StoreArgs, StoreFile},
    verify::{self, Outcome, Sources},
};

#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    #[command(flatten)]
    store: StoreArgs,

    /// Start a store for the demo, and stop it afterwards; so it is without --store if no store
    /// runs
    #[arg(long, conflicts_with = "stock")]
    own: bool,

    /// Only fill the shop with goods, zones and slots
    #[arg(long)]
    stock: bool,
}

pub async fn demo(args: DemoArgs) -> anyhow::Result<()> {
    let nothing_runs = args.store.is_usual() && !args.store.store.exists();
    if args.own || (nothing_runs && !args.stock) {
        let own = own_store::OwnStore::start().await?;
        let played = play(&own.file).await;
        own.stop().await?;
        return played;
    }
    let store = args.store.read()?;
    if args.stock {
        let (_, manager) = open(&store).await?;
        return stock::fill(&manager).await;
    }
    play(&store).await
}

async fn open(store: &StoreFile) -> anyhow::Result<(Client, Client)> {
    let guest = Client::new(&store.base_url);
    wait_for("the store to answer", Duration::from_secs(5), async || {
        Ok(guest.get("/api/goods").await?.status.is_success())
    })
    .await
    .with_context(|| {
        format!(
            "no store answers at {}; start it with `cargo tovar up`",
            store.base_url
        )
    })?;
    let who = store.manager()?;
    let manager = guest.log_in(&who.email, &who.password).await?;
    Ok((guest, manager))
}

/// Plays each scenario and prints its result; fails at the first one that differs from what it must
/// be.
pub async fn play(store: &StoreFile) -> anyhow::Result<()> {
    let (guest, manager) = open(store).await?;
    let started = Instant::now();
    let shop = shop::Shop::open(guest, manager).await?;
    scenarios::play(&shop, store).await?;
    let report = verify::settled(
        &Sources::of(store, verify::DEFAULT_KEY_HOURS),
        Duration::from_secs(60),
    )
    .await?;
    print!("{}", report.text());
    ensure!(
        report.outcome == Outcome::Clean,
        "the store contradicts itself, or does not come to rest"
    );
    println!(
        "All as it must be, in {:.1} s.",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}
