//! `cargo tovar demo`: orders that end in every way that they can, with their timelines, checked.

mod scenarios;
pub(crate) mod stock;

use std::time::Duration;

use anyhow::Context;

use crate::{
    client::{Client, wait_for},
    store_file::StoreArgs,
};

#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    #[command(flatten)]
    store: StoreArgs,

    /// Only fill the shop with goods, zones and slots
    #[arg(long)]
    stock: bool,
}

pub async fn demo(args: DemoArgs) -> anyhow::Result<()> {
    let store = args.store.read()?;
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
    let manager = guest
        .log_in(&store.manager.email, &store.manager.password)
        .await?;
    if args.stock {
        return stock::fill(&manager).await;
    }
    scenarios::run(&guest, &manager).await
}
