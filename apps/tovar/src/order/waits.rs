//! What an order waits for, what happens next, and what an operator can do.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{
    journey::{EventState, JourneyEvent, Subscriber},
    parts::{OrderHead, Part},
};
use crate::{services::topic_of, topics::Unread};

/// Something that the order waits for.
#[derive(Debug, Serialize)]
pub struct Wait {
    pub what: String,
    pub since: DateTime<Utc>,
    /// What happens if no operator does anything.
    pub then: String,
    /// What an operator can do.
    pub can: String,
}

const TERMINAL: [&str; 4] = ["delivered", "rejected", "cancelled", "refunded"];

/// What happens next in each status when nothing goes wrong.
const NEXT: [(&str, &str); 13] = [
    ("placed", "billing sets the money aside, or refuses"),
    ("held", "the warehouse sets the goods aside, or refuses"),
    ("reserved", "delivery books the slot, or refuses"),
    ("booked", "billing takes the money"),
    ("paid", "the warehouse ships the parcel"),
    (
        "stopping",
        "the warehouse says whether the parcel can still be stopped",
    ),
    ("shipped", "the parcel is handed over"),
    (
        "returning",
        "the warehouse takes the goods back, and orders closes the order",
    ),
    (
        "closing",
        "billing gives the money back, and the order is over",
    ),
    ("delivered", "nothing: it is over"),
    ("rejected", "nothing: it is over"),
    ("cancelled", "nothing: it is over"),
    ("refunded", "nothing: it is over"),
];

pub fn next(order: Option<&OrderHead>, parts: &[Part]) -> String {
    let Some(order) = order else {
        return "orders does not know it".to_owned();
    };
    if waits_for_courier(order, parts) {
        return "a courier reports that it was handed over, or that nobody was there".to_owned();
    }
    let next = NEXT.iter().find(|(status, _)| *status == order.status);
    next.map_or_else(|| "unknown".to_owned(), |(_, next)| (*next).to_owned())
}

type AllUnread = BTreeMap<&'static str, Vec<Unread>>;

pub fn waits_of(
    id: Uuid,
    order: Option<&OrderHead>,
    parts: &[Part],
    journey: &[JourneyEvent],
    unread: Option<&AllUnread>,
) -> Vec<Wait> {
    let mut waits = Vec::new();
    for event in journey {
        if !matches!(event.outbox, EventState::Done { .. }) {
            waits.extend(in_outbox(event));
            continue;
        }
        waits.extend(
            event
                .subscribers
                .iter()
                .filter_map(|subscriber| in_inbox(event, subscriber, unread)),
        );
    }
    if let Some(order) = order
        && waits.is_empty()
        && !TERMINAL.contains(&order.status.as_str())
    {
        waits.push(at_rest(id, order, parts, journey));
    }
    waits
}

fn in_outbox(event: &JourneyEvent) -> Option<Wait> {
    let JourneyEvent {
        id,
        event_type,
        producer,
        ..
    } = event;
    Some(match &event.outbox {
        EventState::Waits | EventState::Retried { .. } | EventState::BehindRetried { .. } => Wait {
            what: format!("the relay of {producer} to send {event_type}"),
            since: event.published_at,
            then: "it is sent as soon as relay, database and Kafka are there".to_owned(),
            can: format!(
                "see whether the relay runs: cargo tovar outbox status --service {producer}"
            ),
        },
        EventState::Parked { since, reason } => Wait {
            what: format!("an operator: Kafka refused {event_type}: {reason}"),
            since: *since,
            then: "nothing: the later events of the order wait behind it".to_owned(),
            can: format!(
                "repair the cause, then: cargo tovar outbox replay {id} --service {producer}; \
                 or discard it: cargo tovar outbox discard {id} --service {producer}"
            ),
        },
        EventState::Replay { since } => Wait {
            what: format!("the relay of {producer} to send {event_type} again"),
            since: *since,
            then: "it is sent within a second of the relay's being there".to_owned(),
            can: format!(
                "see whether the relay runs: cargo tovar outbox status --service {producer}"
            ),
        },
        EventState::Discarded { .. } | EventState::Done { .. } => return None,
    })
}

fn in_inbox(
    event: &JourneyEvent,
    subscriber: &Subscriber,
    unread: Option<&AllUnread>,
) -> Option<Wait> {
    let JourneyEvent { id, event_type, .. } = event;
    let service = subscriber.service;
    let running =
        format!("see whether {service} runs: cargo tovar inbox status --service {service}");
    Some(match &subscriber.inbox {
        EventState::Waits => {
            let topic = topic_of(event_type);
            let of_topic = unread
                .and_then(|unread| unread.get(service))
                .and_then(|topics| topics.iter().find(|unread| unread.topic == topic));
            let behind = of_topic.map_or_else(
                || "Kafka does not say how far it is".to_owned(),
                |unread| {
                    format!(
                        "it has {} messages of topic {topic} to read",
                        unread.messages
                    )
                },
            );
            Wait {
                what: format!("{service} to apply {event_type}; {behind}"),
                since: event.published_at,
                then: format!("{service} reads it as soon as it and Kafka are there"),
                can: running,
            }
        }
        EventState::Retried {
            since,
            attempts,
            error,
        } => Wait {
            what: format!(
                "{service} to apply {event_type}, which failed {attempts} times: {error}"
            ),
            since: *since,
            then: "it is tried again every 10 seconds at the latest, and its partition waits"
                .to_owned(),
            can: format!(
                "repair the cause; or park it, so that other orders go on: cargo tovar inbox \
                 park {id} --service {service}"
            ),
        },
        EventState::BehindRetried {
            event: first,
            since,
        } => Wait {
            what: format!(
                "{service} to apply {event_type}, which may be behind event {first} that is tried \
                 again"
            ),
            since: *since,
            then: "its partition goes on when that event is applied or parked".to_owned(),
            can: format!("look at that event: cargo tovar inbox status --service {service}"),
        },
        EventState::Parked { since, reason } => Wait {
            what: format!("an operator: {service} could not apply {event_type}: {reason}"),
            since: *since,
            then: "nothing: the later events of the order wait behind it".to_owned(),
            can: format!(
                "repair the cause, then: cargo tovar inbox replay {id} --service {service}; \
                 or discard it: cargo tovar inbox discard {id} --service {service}"
            ),
        },
        EventState::Replay { since } => Wait {
            what: format!("{service} to apply {event_type} again"),
            since: *since,
            then: format!("it is applied within a second of {service}'s being there"),
            can: running,
        },
        EventState::Done { .. } | EventState::Discarded { .. } => return None,
    })
}

/// What an order waits for if none of the outboxes' events is under way.
fn at_rest(id: Uuid, order: &OrderHead, parts: &[Part], journey: &[JourneyEvent]) -> Wait {
    let since = order
        .facts
        .iter()
        .map(|fact| fact.at)
        .max()
        .unwrap_or(order.placed_at);
    let deadline = order.deadline.map_or_else(
        || "nothing: it has no deadline".to_owned(),
        |deadline| {
            let deadline = deadline.format("%F %T");
            if let Some(why) = &order.needs_attention {
                format!("nothing: an operator was called for, {why}")
            } else if ["placed", "held", "reserved", "booked", "paid"]
                .contains(&order.status.as_str())
            {
                format!("a stop is requested after its deadline, {deadline}")
            } else {
                format!("an operator is called for after its deadline, {deadline}")
            }
        },
    );
    if waits_for_courier(order, parts) {
        return Wait {
            what: "its courier".to_owned(),
            since,
            then: deadline,
            can: format!(
                "report what the courier says: POST /api/deliveries/{id}/outcome with outcome \
                 delivered or recipient_absent"
            ),
        };
    }
    let last = journey.last().map_or_else(
        || "its events have left the outboxes".to_owned(),
        |event| {
            format!(
                "publish its last event again: cargo tovar outbox republish {} --service {}",
                event.id, event.producer
            )
        },
    );
    Wait {
        what: "nothing that is under way: it stands still".to_owned(),
        since,
        then: deadline,
        can: format!("see what is wrong: cargo tovar verify; {last}"),
    }
}

fn waits_for_courier(order: &OrderHead, parts: &[Part]) -> bool {
    let is_out = |part: &Part| {
        part.service == "delivery" && part.state.as_deref() == Some("out_for_delivery")
    };
    order.status == "shipped" && parts.iter().any(is_out)
}
