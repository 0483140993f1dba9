//! `cargo tovar inbox`: shows events that were not applied, and what an operator does about them.

use ::inbox::{
    InboxStatus, UNREADABLE_PLACE,
    blocked::{self, BlockedEvent},
    gaps::{self, Gap},
    parked::{self, ParkedEvent},
};
use anyhow::{Context, ensure};
use clap::Subcommand;
use connect::KafkaSettings;
use db::{Db, DbSettings};
use serde::Serialize;
use uuid::Uuid;

use super::{NOTHING, OperationArgs, OperationRecord, QueryArgs, WithService, show};
use crate::{
    services::ServiceInfo,
    store_file::StoreFile,
    topics::{self, Unread},
};

#[derive(Clone, Debug, Subcommand)]
pub enum InboxCommand {
    /// What each service has still to read, which partitions wait for an event, and what is parked
    Status(QueryArgs),
    /// Park an event that a partition waits for, at its next attempt
    Park(OperationArgs),
    /// List parked events: those that could not be applied, and the later ones of their keys
    Parked(QueryArgs),
    /// Have the service apply all of an event's key that is parked or discarded, in its order
    Replay(OperationArgs),
    /// Discard all of an event's key that is parked, so that later events go on; it can still be
    /// replayed
    Discard(OperationArgs),
    /// Acknowledge a gap, which Kafka deleted before it was read, by the id that `status` shows
    AcknowledgeGap(OperationArgs),
}

pub async fn run(command: InboxCommand) -> anyhow::Result<()> {
    match command {
        InboxCommand::Status(args) => print_status(&args).await,
        InboxCommand::Parked(args) => print_parked(&args).await,
        InboxCommand::Park(args) => {
            let db = open(&args.url()?).await?;
            let event = find_blocked(&db, args.service, args.event).await?;
            let question = format!(
                "Park {} of key {}, and the later events of its key behind it",
                event.event_type,
                show::short(&event.key)
            );
            if args.confirm(&question)? {
                let record = park(&db, args.service, args.event, &args.who()?).await?;
                args.report(
                    &record,
                    "It is parked at its next attempt, in 10 seconds at most.",
                )?;
            }
            Ok(())
        }
        InboxCommand::Replay(args) => {
            let db = open(&args.url()?).await?;
            let event = find_parked(&db, args.service, args.event).await?;
            let question = format!(
                "Replay what is parked or discarded of key {} of topic {}",
                show::short(&event.key),
                event.topic
            );
            if args.confirm(&question)? {
                let record = replay(&db, args.service, args.event, &args.who()?).await?;
                args.report(&record, "The service applies them within a second.")?;
            }
            Ok(())
        }
        InboxCommand::Discard(args) => {
            let db = open(&args.url()?).await?;
            let event = find_parked(&db, args.service, args.event).await?;
            let question = format!(
                "Discard what is parked of key {} of topic {}",
                show::short(&event.key),
                event.topic
            );
            if args.confirm(&question)? {
                let record = discard(&db, args.service, args.event, &args.who()?).await?;
                args.report(&record, "They can still be replayed.")?;
            }
            Ok(())
        }
        InboxCommand::AcknowledgeGap(args) => {
            let db = open(&args.url()?).await?;
            let gap = find_gap(&db, args.service, args.event).await?;
            if args.confirm(&format!(
                "Acknowledge that {} were never read",
                missing(&gap)
            ))? {
                let gap = acknowledge_gap(&db, args.service, args.event, &args.who()?).await?;
                args.print(&gap, |gap| format!("acknowledged: {}\n", missing(gap)))?;
            }
            Ok(())
        }
    }
}

/// A service's database, for the operations on its inbox.
pub async fn open(url: &str) -> anyhow::Result<Db> {
    let settings = DbSettings {
        database_pool_size: 2,
        // Long, as an operator looks when the database is slow.
        database_pool_timeout: 30,
        ..DbSettings::new(url)
    };
    Ok(Db::open(&settings, "cargo-tovar").await?)
}

/// Requests that the service parks a blocked event at its next attempt.
pub async fn park(
    db: &Db,
    service: ServiceInfo,
    event: Uuid,
    who: &str,
) -> anyhow::Result<OperationRecord> {
    let blocked = find_blocked(db, service, event).await?;
    ensure!(
        blocked.event_type != UNREADABLE_PLACE,
        "what cannot be read cannot be parked; see docs/operations.md, \"A partition cannot be \
         read\""
    );
    let waits = parked::request(db, service.name, event, who).await?;
    ensure!(
        waits,
        "no partition of {} waits for event {event} any more",
        service.name
    );
    Ok(record(
        service,
        "park",
        (blocked.topic, blocked.key),
        1,
        who,
    ))
}

/// Lets the service apply the parked and discarded events of the key of `event`.
pub async fn replay(
    db: &Db,
    service: ServiceInfo,
    event: Uuid,
    who: &str,
) -> anyhow::Result<OperationRecord> {
    let ParkedEvent { topic, key, .. } = find_parked(db, service, event).await?;
    let events = parked::replay(db, service.name, &topic, &key, who).await?;
    Ok(record(service, "replay", (topic, key), events, who))
}

/// Discards the parked events of the key of `event`.
pub async fn discard(
    db: &Db,
    service: ServiceInfo,
    event: Uuid,
    who: &str,
) -> anyhow::Result<OperationRecord> {
    let ParkedEvent { topic, key, .. } = find_parked(db, service, event).await?;
    let events = parked::discard(db, service.name, &topic, &key, who).await?;
    Ok(record(service, "discard", (topic, key), events, who))
}

/// Records that an operator has dealt with a gap, which is then no longer shown.
pub async fn acknowledge_gap(
    db: &Db,
    service: ServiceInfo,
    id: Uuid,
    who: &str,
) -> anyhow::Result<Gap> {
    let gap = find_gap(db, service, id).await?;
    let acknowledged = gaps::acknowledge(db, service.name, id, who).await?;
    ensure!(acknowledged, "gap {id} has been acknowledged meanwhile");
    Ok(gap)
}

async fn find_gap(db: &Db, service: ServiceInfo, id: Uuid) -> anyhow::Result<Gap> {
    let all = gaps::list(db, service.name).await?;
    all.into_iter().find(|gap| gap.id == id).with_context(|| {
        format!(
            "there is no gap {id} to acknowledge in the inbox of {}",
            service.name
        )
    })
}

/// The messages of a gap, for people.
fn missing(gap: &Gap) -> String {
    let Gap {
        topic,
        partition,
        first,
        next,
        ..
    } = gap;
    format!(
        "the messages from offset {first} to {} of partition {partition} of {topic}",
        next - 1
    )
}

async fn find_parked(db: &Db, service: ServiceInfo, event: Uuid) -> anyhow::Result<ParkedEvent> {
    let all = parked::list(db, service.name).await?;
    all.into_iter()
        .find(|parked| parked.event_id == event)
        .with_context(|| {
            format!(
                "event {event} is not parked in the inbox of {}",
                service.name
            )
        })
}

async fn find_blocked(db: &Db, service: ServiceInfo, event: Uuid) -> anyhow::Result<BlockedEvent> {
    let all = blocked::list(db, service.name).await?;
    all.into_iter()
        .find(|blocked| blocked.event_id == event)
        .with_context(|| format!("no partition of {} waits for event {event}", service.name))
}

fn record(
    service: ServiceInfo,
    operation: &'static str,
    (topic, key): (String, String),
    events: usize,
    who: &str,
) -> OperationRecord {
    OperationRecord {
        service: service.name,
        operation,
        topic,
        key,
        events: events as u64,
        who: who.to_owned(),
    }
}

/// The state of a service's inbox.
#[derive(Serialize)]
struct Found {
    #[serde(flatten)]
    inbox: InboxStatus,
    /// What it has still to read; `None` if Kafka does not answer.
    unread: Option<Vec<Unread>>,
    blocked_events: Vec<BlockedEvent>,
    /// Messages that Kafka deleted before they were read, and no operator has acknowledged.
    missing: Vec<Gap>,
}

async fn open_reader(store: &StoreFile, service: &ServiceInfo) -> anyhow::Result<Db> {
    let url = store.readers.get(service.name);
    let url = url.with_context(|| {
        format!(
            "the store file has no address for the database of {}",
            service.name
        )
    })?;
    open(url)
        .await
        .with_context(|| format!("the database of {} cannot be reached", service.name))
}

async fn print_status(args: &QueryArgs) -> anyhow::Result<()> {
    let store = args.store.read()?;
    let kafka = KafkaSettings::new(&store.kafka_brokers, &store.kafka_prefix);
    // A service without subscriptions has an empty inbox.
    let services: Vec<ServiceInfo> = args
        .services()
        .into_iter()
        .filter(|one| !one.listens_to.is_empty())
        .collect();
    let mut unread = match topics::unread(&kafka, services.clone()).await {
        Ok(unread) => Some(unread),
        Err(error) => {
            eprintln!("{error:#}");
            None
        }
    };
    let mut all = Vec::new();
    for service in services {
        let db = open_reader(&store, &service).await?;
        let found = Found {
            inbox: ::inbox::status(&db, service.name).await?,
            unread: unread
                .as_mut()
                .and_then(|unread| unread.remove(service.name)),
            blocked_events: blocked::list(&db, service.name).await?,
            missing: gaps::list(&db, service.name).await?,
        };
        all.push(WithService {
            service: service.name,
            found,
        });
    }
    show::print(args.json, &all, |all| {
        let titles = [
            "service",
            "unread",
            "last applied",
            "blocked",
            "parked",
            "replay",
            "discarded",
        ];
        let row = |WithService { service, found }: &WithService<Found>| {
            let unread = found.unread.as_ref().map_or_else(
                || "?".to_owned(),
                |topics| {
                    topics
                        .iter()
                        .map(|topic| topic.messages)
                        .sum::<i64>()
                        .to_string()
                },
            );
            vec![
                (*service).to_owned(),
                unread,
                show::time_or_dash(found.inbox.last_applied_at),
                found.inbox.blocked.to_string(),
                found.inbox.parked.to_string(),
                found.inbox.in_replay.to_string(),
                found.inbox.discarded.to_string(),
            ]
        };
        let mut text = show::table_text(&titles, &all.iter().map(row).collect::<Vec<_>>());
        for WithService { service, found } in all {
            for event in &found.blocked_events {
                text += &format!("\n{service}: {}\n", waiting(event));
            }
            for gap in &found.missing {
                text += &format!(
                    "\n{service}: Kafka deleted {} before they were read, noticed at {}; when you \
                     have seen to it: \
                     cargo tovar inbox acknowledge-gap {} --service {service}\n",
                    missing(gap),
                    show::time(gap.noticed_at),
                    gap.id,
                );
            }
        }
        text
    })
}

/// The event that a partition waits for, for people.
fn waiting(event: &BlockedEvent) -> String {
    let BlockedEvent {
        partition,
        topic,
        event_type,
        event_id,
        attempts,
        error,
        ..
    } = event;
    let since = show::time(event.since);
    if event_type == UNREADABLE_PLACE {
        return format!(
            "partition {partition} of {topic} cannot be read since {since}, {attempts} attempts: \
             {error}"
        );
    }
    format!(
        "partition {partition} of {topic} waits since {since} for {event_type} {event_id} of key \
         {}, {attempts} attempts: {error}",
        show::short(&event.key),
    )
}

async fn print_parked(args: &QueryArgs) -> anyhow::Result<()> {
    let store = args.store.read()?;
    let mut all = Vec::new();
    for service in args.services() {
        let db = open_reader(&store, &service).await?;
        let parked = parked::list(&db, service.name).await?;
        all.extend(parked.into_iter().map(|found| WithService {
            service: service.name,
            found,
        }));
    }
    show::print(args.json, &all, |all| {
        if all.is_empty() {
            return NOTHING.to_owned();
        }
        let titles = [
            "service", "event", "type", "key", "state", "since", "code", "reason",
        ];
        let row = |WithService { service, found }: &WithService<ParkedEvent>| {
            vec![
                (*service).to_owned(),
                found.event_id.to_string(),
                found.event_type.clone(),
                show::short(&found.key),
                found.state.clone(),
                show::time(found.parked_at),
                found.code.clone(),
                show::long(&found.reason),
            ]
        };
        show::table_text(&titles, &all.iter().map(row).collect::<Vec<_>>())
    })
}
