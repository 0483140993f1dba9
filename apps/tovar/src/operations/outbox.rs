//! `cargo tovar outbox`: shows events that were not sent, and what an operator does about them.

use std::process::ExitCode;

use ::outbox::{
    log,
    parked::{self, ParkedEvent, TopicKey},
};
use anyhow::{Context, bail};
use clap::Subcommand;
use tokio_postgres::Client;
use uuid::Uuid;

use super::{NOTHING, OperationArgs, OperationRecord, QueryArgs, WithService, show};
use crate::{
    audit::{self, AuditArgs},
    database,
    services::ServiceInfo,
};

#[derive(Clone, Debug, Subcommand)]
pub enum OutboxCommand {
    /// How far each outbox is sent, whether a relay is at work, and what is parked
    Status(QueryArgs),
    /// Compare the topics with what the outboxes retain, while the store runs: no gap, nothing that
    /// was not committed, the order of each key, how many duplicates; exit codes as those of verify
    Audit(AuditArgs),
    /// List parked events: those that Kafka refused for good, and the later ones of their keys
    Parked(QueryArgs),
    /// Have the relay send all of an event's key that is parked or discarded, in its order
    Replay(OperationArgs),
    /// Discard all of an event's key that is parked, so that later events go on; it can still be
    /// replayed
    Discard(OperationArgs),
    /// Publish an event again that the outbox retains, under its own id: consumers that know it
    /// drop it
    Republish(OperationArgs),
}

pub async fn run(command: OutboxCommand) -> anyhow::Result<ExitCode> {
    match command {
        OutboxCommand::Status(args) => print_status(&args).await?,
        OutboxCommand::Audit(args) => return Ok(audit::audit(args).await),
        OutboxCommand::Parked(args) => print_parked(&args).await?,
        OutboxCommand::Replay(args) => {
            let (mut client, first) = find(&args).await?;
            let question = format!(
                "Replay what is parked or discarded of key {} of topic {}",
                first.key, first.topic
            );
            if args.confirm(&question)? {
                let record = replay(&mut client, args.service, args.event, &args.who()?).await?;
                args.report(&record, "The relay sends them within a second.")?;
            }
        }
        OutboxCommand::Discard(args) => {
            let (mut client, first) = find(&args).await?;
            let question = format!(
                "Discard what is parked of key {} of topic {}",
                first.key, first.topic
            );
            if args.confirm(&question)? {
                let record = discard(&mut client, args.service, args.event, &args.who()?).await?;
                args.report(&record, "They can still be replayed.")?;
            }
        }
        OutboxCommand::Republish(args) => {
            let mut client = database::open(&args.url()?).await?;
            let question = format!(
                "Publish event {} of {} again",
                args.event, args.service.name
            );
            if args.confirm(&question)? {
                let record = republish(&mut client, args.service, args.event, &args.who()?).await?;
                args.report(&record, "Consumers that know it drop it.")?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Lets the relay send the parked and discarded events of the key of `event`.
pub async fn replay(
    client: &mut Client,
    service: ServiceInfo,
    event: Uuid,
    who: &str,
) -> anyhow::Result<OperationRecord> {
    let key = key_of(&find_parked(client, service, event).await?);
    let events = parked::replay(client, &key, who).await?;
    Ok(record(service, "replay", key, events, who))
}

/// Discards the parked events of the key of `event`.
pub async fn discard(
    client: &mut Client,
    service: ServiceInfo,
    event: Uuid,
    who: &str,
) -> anyhow::Result<OperationRecord> {
    let key = key_of(&find_parked(client, service, event).await?);
    let events = parked::discard(client, &key, who).await?;
    Ok(record(service, "discard", key, events, who))
}

/// Publishes a retained event once more.
pub async fn republish(
    client: &mut Client,
    service: ServiceInfo,
    event: Uuid,
    who: &str,
) -> anyhow::Result<OperationRecord> {
    let sql = "SELECT topic, key FROM outbox WHERE id = $1 LIMIT 1";
    let retained = client.query_opt(sql, &[&event]).await?;
    let retained = retained.with_context(|| {
        format!(
            "the outbox of {} does not have event {event}, or no longer",
            service.name
        )
    })?;
    let key = TopicKey {
        topic: retained.get(0),
        key: retained.get(1),
    };
    if !log::publish_again(client, event, who).await? {
        bail!("event {event} has left the outbox of {}", service.name);
    }
    Ok(record(service, "republish", key, 1, who))
}

async fn find(args: &OperationArgs) -> anyhow::Result<(Client, ParkedEvent)> {
    let client = database::open(&args.url()?).await?;
    let found = find_parked(&client, args.service, args.event).await?;
    Ok((client, found))
}

async fn find_parked(
    client: &Client,
    service: ServiceInfo,
    event: Uuid,
) -> anyhow::Result<ParkedEvent> {
    let all = parked::list(client).await?;
    all.into_iter()
        .find(|parked| parked.id == event)
        .with_context(|| {
            format!(
                "event {event} is not parked in the outbox of {}",
                service.name
            )
        })
}

fn key_of(event: &ParkedEvent) -> TopicKey {
    TopicKey {
        topic: event.topic.clone(),
        key: event.key.clone(),
    }
}

fn record(
    service: ServiceInfo,
    operation: &'static str,
    key: TopicKey,
    events: u64,
    who: &str,
) -> OperationRecord {
    OperationRecord {
        service: service.name,
        operation,
        topic: key.topic,
        key: key.key,
        events,
        who: who.to_owned(),
    }
}

async fn print_status(args: &QueryArgs) -> anyhow::Result<()> {
    let store = args.store.read()?;
    let mut all = Vec::new();
    for service in args.services() {
        let client = database::open_of(&store.readers, &service).await?;
        let found = log::status(&client).await?;
        all.push(WithService {
            service: service.name,
            found,
        });
    }
    show::print(args.json, &all, |all| {
        let titles = [
            "service",
            "relay",
            "waiting",
            "since",
            "retained",
            "parked",
            "replay",
            "discarded",
            "saved at",
        ];
        let row = |WithService { service, found }: &WithService<log::OutboxStatus>| {
            vec![
                (*service).to_owned(),
                if found.has_relay { "at work" } else { "NONE" }.to_owned(),
                found.waiting.to_string(),
                show::time_or_dash(found.waiting_since),
                found.retained.to_string(),
                found.parked.to_string(),
                found.in_replay.to_string(),
                found.discarded.to_string(),
                show::time(found.saved_at),
            ]
        };
        show::table_text(&titles, &all.iter().map(row).collect::<Vec<_>>())
    })
}

async fn print_parked(args: &QueryArgs) -> anyhow::Result<()> {
    let store = args.store.read()?;
    let mut all = Vec::new();
    for service in args.services() {
        let client = database::open_of(&store.readers, &service).await?;
        let parked = parked::list(&client).await?;
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
            "service", "event", "type", "key", "state", "since", "reason",
        ];
        let row = |WithService { service, found }: &WithService<ParkedEvent>| {
            vec![
                (*service).to_owned(),
                found.id.to_string(),
                found.event_type.clone(),
                found.key.clone(),
                found.state.clone(),
                show::time(found.parked_at),
                found.reason.clone(),
            ]
        };
        show::table_text(&titles, &all.iter().map(row).collect::<Vec<_>>())
    })
}
