//! The inbox: every event takes effect exactly once.
//!
//! An event's id is written in the transaction of its handler, and its offset is stored after the
//! commit. A crash in between delivers the event again, and then its row is there. What a failure
//! means is decided in one place, by its class: retry and wait, or park.

mod apply;
pub mod blocked;
mod brokers;
mod consumer;
mod failure;
pub mod gaps;
mod hands;
mod key;
mod message;
mod metrics;
pub mod parked;
mod partition;
mod pump;
mod purge;
mod replay;
mod status;
mod subscriptions;
mod together;
mod worker;

use db::Rights;
use diesel_migrations::embed_migrations;

pub use apply::{Outcome, deliver};
pub use consumer::{Running, StartError, start};
pub use failure::{Failure, Retry};
pub use key::Key;
pub use message::{Message, UNREADABLE_PLACE};
pub use metrics::Metrics;
pub use status::{InboxStatus, status};
pub use subscriptions::{Delivery, Handler, Subscriptions};

/// The inbox's tables; part of each service's database.
pub const MIGRATIONS: db::Migrations = db::Migrations::new(embed_migrations!(), &RIGHTS);

/// What operators did and asked for is written by the owner only, as whom they act.
const RIGHTS: [Rights; 10] = [
    Rights::of_table("inbox")
        .service("SELECT, INSERT, DELETE")
        .reader("SELECT"),
    Rights::of_table("inbox_parked")
        .service("SELECT, INSERT, UPDATE, DELETE")
        .reader(
            "SELECT (seq, consumer, event_id, topic, partition, \"offset\", key, key_bytes, type, code, reason, parked_at, \
             state, changed_at)",
        ),
    Rights::of_table("inbox_blocked")
        .service("SELECT, INSERT, UPDATE, DELETE")
        .reader("SELECT"),
    Rights::of_table("inbox_park_requests").service("SELECT, DELETE"),
    Rights::of_table("inbox_positions").service("SELECT, INSERT, UPDATE"),
    Rights::of_table("inbox_gaps")
        .service("SELECT, INSERT, UPDATE")
        .reader("SELECT"),
    Rights::of_table("inbox_operations"),
    Rights::of_function("inbox_accept").service("EXECUTE"),
    Rights::of_function("inbox_accept_all").service("EXECUTE"),
    Rights::of_function("inbox_is_clear").service("EXECUTE"),
];

/// Days for which each inbox remembers at least. An outbox keeps what it has sent for up to 36
/// hours and can be asked to send it again in that time.
pub const LEAST_DAYS: u16 = 2;

/// Reads `INBOX_DAYS`.
fn days(text: &str) -> Result<u16, String> {
    let days: u16 = text
        .parse()
        .map_err(|_| format!("{text:?} is no whole number of days"))?;
    if days < LEAST_DAYS {
        return Err(format!(
            "an outbox can send an event again for up to 36 hours, and an inbox that has forgotten it would apply it again: \
             set INBOX_DAYS to {LEAST_DAYS} or more"
        ));
    }
    if days > 3650 {
        return Err("an inbox remembers for 3650 days at most".to_owned());
    }
    Ok(days)
}

/// How events are taken in.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Inbox")]
pub struct InboxSettings {
    /// Events of a partition that may share a transaction
    #[arg(long, env = "INBOX_BATCH", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub inbox_batch: u16,

    /// Transactions that events may have open at the same time; the pool's other connections are
    /// for requests
    #[arg(long, env = "INBOX_CONCURRENCY", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub inbox_concurrency: u16,

    /// Milliseconds before the first retry of an event; each further one waits twice as long
    #[arg(long, env = "INBOX_RETRY_FIRST", default_value_t = 100)]
    pub inbox_retry_first: u64,

    /// Milliseconds between retries of an event at most
    #[arg(long, env = "INBOX_RETRY_MOST", default_value_t = 10_000)]
    pub inbox_retry_most: u64,

    /// Days for which an applied event is remembered: longer than the topics' retention and the
    /// longest outage
    #[arg(long, env = "INBOX_DAYS", default_value_t = 14, value_parser = days)]
    pub inbox_days: u16,

    /// Days for which an event that was parked is remembered after it was applied or discarded, so
    /// that it is not applied when Kafka delivers it again; at least INBOX_DAYS
    #[arg(long, env = "INBOX_PARKED_DAYS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub inbox_parked_days: u16,

    /// Seconds for which an event is tried again whose handler has a defect; then it is parked, and
    /// its partition goes on
    #[arg(long, env = "INBOX_BUG_SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub inbox_bug_seconds: u64,

    /// Name of this replica that outlives its restarts; with it a restart does not wait for the old
    /// one's membership to expire
    #[arg(long, env = "INBOX_INSTANCE")]
    pub inbox_instance: Option<String>,
}

impl Default for InboxSettings {
    fn default() -> Self {
        Self {
            inbox_batch: 50,
            inbox_concurrency: 4,
            inbox_retry_first: 100,
            inbox_retry_most: 10_000,
            inbox_days: 14,
            inbox_parked_days: 30,
            inbox_bug_seconds: 60,
            inbox_instance: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Cli {
        #[command(flatten)]
        inbox: InboxSettings,
    }

    #[test]
    fn an_inbox_that_forgets_before_the_outbox_is_refused() {
        let read = |days: &str| Cli::try_parse_from(["service", "--inbox-days", days]);
        for days in ["0", "1", "3651", "x"] {
            assert!(read(days).is_err(), "{days}");
        }
        let why = read("1").unwrap_err().to_string();
        assert!(
            why.contains("send an event again for up to 36 hours"),
            "{why}"
        );
        assert_eq!(read("2").unwrap().inbox.inbox_days, LEAST_DAYS);
    }
}
