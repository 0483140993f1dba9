//! Where the time of an order goes: the events that led to its end, hop by hop, by the times in
//! outboxes, Kafka and inboxes.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use connect::KafkaSettings;
use contracts::{
    catalogue::TOPICS,
    orders::{Finished, Placed},
};
use kernel::{Event as _, OrderId};
use uuid::Uuid;

use super::report::{BenchReport, percentile};
use crate::{audit::Messages, database, order::APPLIED, services::SERVICES, store_file::StoreFile};

/// Bounds how many orders are followed, so that the queries stay small.
const SAMPLED_ORDERS_MAX: usize = 500;
/// Kafka's times are cut to whole milliseconds; this is added as the mean of what is cut off.
const HALF_MILLISECOND: TimeDelta = TimeDelta::microseconds(500);
const PUBLISHED: &str = "SELECT id, type, key, recorded_at FROM outbox WHERE key = ANY($1)";

/// The times of an event of an order.
struct EventTimes {
    event_type: String,
    producer: &'static str,
    /// When its producer wrote it into its outbox, just before the commit.
    published_at: DateTime<Utc>,
    /// When the relay gave it to Kafka's client.
    sent_at: DateTime<Utc>,
    /// By service, when the transaction began in which the service applied it.
    applied_at: HashMap<&'static str, DateTime<Utc>>,
}

/// The name of a hop, and how long it took.
type Hop = (String, TimeDelta);

/// When the relay gave each event of the topics to Kafka's client.
pub type SentTimes = HashMap<Uuid, DateTime<Utc>>;

pub async fn sent_times(store: &StoreFile) -> anyhow::Result<SentTimes> {
    let kafka = KafkaSettings::new(&store.kafka_brokers, &store.kafka_prefix);
    let mut sent = SentTimes::new();
    for topic in TOPICS {
        let messages = Messages::read(&kafka, topic).await?.all;
        let messages = messages
            .into_iter()
            .filter_map(|message| Some((message.identity?.0, message.sent_at + HALF_MILLISECOND)));
        sent.extend(messages);
    }
    Ok(sent)
}

/// Reports the median of each hop of the critical path that most orders took. Where a service waits
/// for two events, the later one is on the path.
pub async fn measure(
    store: &StoreFile,
    sent: &SentTimes,
    orders: &[OrderId],
    part: &str,
    report: &mut BenchReport,
) -> anyhow::Result<()> {
    let sample = orders
        .iter()
        .step_by(orders.len().div_ceil(SAMPLED_ORDERS_MAX).max(1));
    let keys: Vec<String> = sample.map(OrderId::to_string).collect();
    let by_order = events(store, sent, &keys).await?;
    // The durations of each hop, by the names of all hops of a path.
    let mut paths = HashMap::<Vec<String>, Vec<Vec<f64>>>::new();
    for events in by_order.values() {
        let (names, took): (Vec<_>, Vec<_>) = critical_path(events).into_iter().unzip();
        let hops = paths.entry(names).or_default();
        hops.resize(took.len(), Vec::new());
        for (hop, took) in hops.iter_mut().zip(took) {
            hop.push(took.as_seconds_f64() * 1e3);
        }
    }
    let by_orders = |(_, hops): &(_, Vec<Vec<f64>>)| hops.first().map(Vec::len);
    let Some((names, hops)) = paths.into_iter().max_by_key(by_orders) else {
        return Ok(());
    };
    let taken = hops.first().map_or(0, Vec::len) as f64;
    report.number(
        part,
        "orders that took it",
        "%",
        taken * 100.0 / by_order.len() as f64,
    );
    for (name, mut hop) in names.into_iter().zip(hops) {
        report.number(part, &name, "ms", percentile(&mut hop, 50));
    }
    Ok(())
}

async fn events(
    store: &StoreFile,
    sent: &SentTimes,
    keys: &[String],
) -> anyhow::Result<HashMap<String, Vec<EventTimes>>> {
    let mut published = HashMap::new();
    let mut clients = Vec::new();
    for service in SERVICES {
        let client = database::open_of(&store.readers, &service).await?;
        for row in client.query(PUBLISHED, &[&keys]).await? {
            let (id, key): (Uuid, String) = (row.get(0), row.get(2));
            // An event that has left its topic has no hop.
            let Some(sent_at) = sent.get(&id).copied() else {
                continue;
            };
            let event = EventTimes {
                event_type: row.get(1),
                producer: service.name,
                published_at: row.get(3),
                sent_at,
                applied_at: HashMap::new(),
            };
            published.insert(id, (key, event));
        }
        clients.push((service.name, client));
    }
    let ids: Vec<Uuid> = published.keys().copied().collect();
    for (name, client) in clients {
        for row in client.query(APPLIED, &[&name, &ids]).await? {
            let id: Uuid = row.get(0);
            if let Some((_, event)) = published.get_mut(&id) {
                event.applied_at.insert(name, row.get(1));
            }
        }
    }
    let mut by_order = HashMap::<String, Vec<EventTimes>>::new();
    for (key, event) in published.into_values() {
        by_order.entry(key).or_default().push(event);
    }
    Ok(by_order)
}

/// The hops from the placing of an order to its end. It is found backwards: the cause of an event
/// is the one that its producer applied last before it.
fn critical_path(events: &[EventTimes]) -> Vec<Hop> {
    let mut hops = Vec::new();
    let mut reached = events
        .iter()
        .find(|event| event.event_type == Finished::TYPE);
    while let Some(event) = reached {
        let EventTimes {
            event_type,
            producer,
            ..
        } = event;
        hops.push((
            format!("{event_type}: commit and relay"),
            event.sent_at - event.published_at,
        ));
        let applied = events
            .iter()
            .filter_map(|cause| Some((cause, *cause.applied_at.get(producer)?)))
            .filter(|(cause, at)| {
                *at <= event.published_at && cause.published_at < event.published_at
            })
            .max_by_key(|(_, applied_at)| *applied_at);
        let cause = applied.filter(|_| event_type != Placed::TYPE);
        if let Some((cause, applied_at)) = cause {
            hops.push((
                format!("{event_type}: transaction of {producer}"),
                event.published_at - applied_at,
            ));
            hops.push((
                format!("{}: to {producer}", cause.event_type),
                applied_at - cause.sent_at,
            ));
        }
        reached = cause.map(|(cause, _)| cause);
    }
    hops.reverse();
    hops
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(
        event_type: &str,
        producer: &'static str,
        published_at: i64,
        applied: &[(&'static str, i64)],
    ) -> EventTimes {
        let at = |millis| DateTime::from_timestamp_millis(millis).unwrap();
        EventTimes {
            event_type: event_type.to_owned(),
            producer,
            published_at: at(published_at),
            sent_at: at(published_at + 1),
            applied_at: applied
                .iter()
                .map(|(service, applied_at)| (*service, at(*applied_at)))
                .collect(),
        }
    }

    #[test]
    fn of_two_events_that_are_waited_for_the_later_one_leads_on() {
        let events = [
            event(Finished::TYPE, "orders", 50, &[("notifications", 70)]),
            event("delivery.delivered.v1", "delivery", 20, &[("orders", 30)]),
            event("billing.settled.v1", "billing", 30, &[("orders", 45)]),
            event(
                Placed::TYPE,
                "orders",
                10,
                &[("billing", 14), ("delivery", 13)],
            ),
        ];
        let wanted = [
            ("orders.placed.v1: commit and relay", 1),
            ("orders.placed.v1: to billing", 3),
            ("billing.settled.v1: transaction of billing", 16),
            ("billing.settled.v1: commit and relay", 1),
            ("billing.settled.v1: to orders", 14),
            ("orders.finished.v1: transaction of orders", 5),
            ("orders.finished.v1: commit and relay", 1),
        ];
        let found = critical_path(&events);
        let found: Vec<_> = found
            .iter()
            .map(|(name, took)| (name.as_str(), took.num_milliseconds()))
            .collect();
        assert_eq!(found, wanted);
    }
}
