//! A consumer that only records what it applies: the project's inbox with a real handler.

use connect::KafkaSettings;
use db::{Db, DbError, DbSettings, Tx};
use diesel::{
    sql_query,
    sql_types::{BigInt, Text, Uuid},
};
use diesel_async::RunQueryDsl;
use inbox::{Delivery, InboxSettings, Metrics, Running, Subscriptions};
use kernel::Event;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};

use super::addresses::ServerAddresses;

pub const GROUP: &str = "prove";

/// Without a unique constraint, so that an event that is applied twice can be seen.
pub const TABLES: &str = "CREATE TABLE applied (seq bigint GENERATED ALWAYS AS IDENTITY, id uuid
    NOT NULL, key text NOT NULL, n bigint NOT NULL);
    CREATE INDEX ON applied (id);
    CREATE TABLE counted (key text PRIMARY KEY, events bigint NOT NULL)";

/// The event of these proofs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Noted {
    pub key: String,
    pub n: i64,
}

impl Event for Noted {
    const TYPE: &'static str = "prove.noted.v1";
    const TOPIC: &'static str = "prove.notes";
    fn key(&self) -> String {
        self.key.clone()
    }
}

#[derive(Clone)]
struct State;

async fn note(tx: &mut Tx<'_>, _: &State, noted: Delivery<Noted>) -> Result<(), DbError> {
    sql_query("INSERT INTO applied (id, key, n) VALUES ($1, $2, $3)")
        .bind::<Uuid, _>(noted.id)
        .bind::<Text, _>(&noted.event.key)
        .bind::<BigInt, _>(noted.event.n)
        .execute(&mut **tx)
        .await?;
    sql_query(
        "INSERT INTO counted VALUES ($1, 1) ON CONFLICT (key) DO UPDATE SET events = \
         counted.events + 1",
    )
    .bind::<Text, _>(&noted.event.key)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub async fn start(addresses: &ServerAddresses) -> anyhow::Result<Running> {
    let db = Db::open(&DbSettings::new(&addresses.url), GROUP).await?;
    let kafka = KafkaSettings::new(&addresses.brokers, &addresses.prefix);
    let metrics = Metrics::register(&mut Registry::default());
    let subscriptions = Subscriptions::group(GROUP).on(note);
    Ok(inbox::start(
        subscriptions,
        State,
        db,
        &kafka,
        &InboxSettings::default(),
        metrics,
    )
    .await?)
}
