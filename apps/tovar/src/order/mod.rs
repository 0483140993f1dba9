//! `cargo tovar order <id>`: an order across all databases, outboxes, inboxes and topics: its
//! state, what it waits for, since when, what happens next, and what an operator can do.

mod journey;
mod parts;
mod show;
mod view;
mod waits;

use anyhow::{Context, bail};
use connect::KafkaSettings;
use futures_util::future::try_join_all;
use tokio_postgres::Client;
use uuid::Uuid;

pub use self::{
    journey::{APPLIED, EventState, JourneyEvent, Subscriber},
    parts::{OrderHead, Part},
    view::View,
    waits::Wait,
};
use crate::{
    database,
    operations::show::print,
    services::SERVICES,
    store_file::{StoreArgs, StoreFile},
    topics,
};

#[derive(Clone, Debug, clap::Args)]
pub struct OrderArgs {
    /// The order's id
    id: Uuid,

    #[command(flatten)]
    store: StoreArgs,

    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

pub async fn order(args: OrderArgs) -> anyhow::Result<()> {
    let view = view(&args.store.read()?, args.id).await?;
    print(args.json, &view, show::text)
}

/// Reads the order from every database, and the services' progress from Kafka.
pub async fn view(store: &StoreFile, id: Uuid) -> anyhow::Result<View> {
    let clients = SERVICES
        .iter()
        .map(|service| database::open_of(&store.readers, service));
    let clients = try_join_all(clients).await?;
    let client_of = |name: &str| -> &Client {
        let index = SERVICES.iter().position(|service| service.name == name);
        &clients[index.expect("the six services are known")]
    };
    let order = parts::head(client_of("orders"), id).await?;
    let user = order.as_ref().map(|order| order.user_id);
    let parts = SERVICES
        .iter()
        .zip(&clients)
        .map(async |(service, client)| {
            parts::read(service.name, client, id, user)
                .await
                .with_context(|| format!("the database of {} cannot be read", service.name))
        });
    let parts = try_join_all(parts).await?;
    let journey = journey::read(&clients, &store.kafka_prefix, &id.to_string()).await?;
    if order.is_none() && journey.is_empty() && parts.iter().all(|part| part.state.is_none()) {
        bail!("no service knows an order {id}");
    }
    let kafka = KafkaSettings::new(&store.kafka_brokers, &store.kafka_prefix);
    let unread = topics::unread(&kafka, SERVICES.to_vec()).await.ok();
    let at = client_of("orders")
        .query_one("SELECT clock_timestamp()", &[])
        .await?
        .get(0);
    let waits = waits::waits_of(id, order.as_ref(), &parts, &journey, unread.as_ref());
    let next = waits::next(order.as_ref(), &parts);
    Ok(View {
        id,
        at,
        order,
        parts,
        journey,
        waits,
        next,
    })
}
