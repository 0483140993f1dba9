use std::time::Duration;

use rand::Rng;

/// The fewest days for which an inbox may remember. An outbox keeps what it has sent for up to 36
/// hours, and an operator can have it sent again in that time.
pub const INBOX_DAYS_MIN: u16 = 2;
/// The most days for which an inbox may remember: ten years.
const INBOX_DAYS_MAX: u16 = 3650;

const BATCH_DEFAULT: u16 = 50;
const CONCURRENCY_DEFAULT: u16 = 4;
const RETRY_FIRST_MS_DEFAULT: u64 = 100;
const RETRY_MOST_MS_DEFAULT: u64 = 10_000;
const DAYS_DEFAULT: u16 = 14;
const PARKED_DAYS_DEFAULT: u16 = 30;
const BUG_SECONDS_DEFAULT: u64 = 60;

/// How a service takes events in.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Inbox")]
pub struct InboxSettings {
    /// Events of a partition that may share a transaction
    #[arg(long, env = "INBOX_BATCH", default_value_t = BATCH_DEFAULT)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=500))]
    pub inbox_batch: u16,

    /// Transactions that events may have open at the same time; the pool's other connections are
    /// for requests
    #[arg(long, env = "INBOX_CONCURRENCY", default_value_t = CONCURRENCY_DEFAULT)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=100))]
    pub inbox_concurrency: u16,

    /// Milliseconds before the first retry of an event; each further one waits twice as long
    #[arg(long, env = "INBOX_RETRY_FIRST", default_value_t = RETRY_FIRST_MS_DEFAULT)]
    pub inbox_retry_first: u64,

    /// Milliseconds between retries of an event at most
    #[arg(long, env = "INBOX_RETRY_MOST", default_value_t = RETRY_MOST_MS_DEFAULT)]
    pub inbox_retry_most: u64,

    /// Days for which an applied event is remembered: longer than the topics' retention and the
    /// longest outage
    #[arg(long, env = "INBOX_DAYS", default_value_t = DAYS_DEFAULT, value_parser = parse_days)]
    pub inbox_days: u16,

    /// Days for which an event that was parked is remembered after it was applied or discarded, so
    /// that it is not applied when Kafka delivers it again; at least INBOX_DAYS
    #[arg(long, env = "INBOX_PARKED_DAYS", default_value_t = PARKED_DAYS_DEFAULT)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=i64::from(INBOX_DAYS_MAX)))]
    pub inbox_parked_days: u16,

    /// Seconds for which an event is tried again whose handler has a defect; then it is parked, and
    /// its partition goes on
    #[arg(long, env = "INBOX_BUG_SECONDS", default_value_t = BUG_SECONDS_DEFAULT)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub inbox_bug_seconds: u64,

    /// Name of this replica that outlives its restarts; with it a restart does not wait for the old
    /// one's membership to expire
    #[arg(long, env = "INBOX_INSTANCE")]
    pub inbox_instance: Option<String>,
}

impl Default for InboxSettings {
    fn default() -> Self {
        Self {
            inbox_batch: BATCH_DEFAULT,
            inbox_concurrency: CONCURRENCY_DEFAULT,
            inbox_retry_first: RETRY_FIRST_MS_DEFAULT,
            inbox_retry_most: RETRY_MOST_MS_DEFAULT,
            inbox_days: DAYS_DEFAULT,
            inbox_parked_days: PARKED_DAYS_DEFAULT,
            inbox_bug_seconds: BUG_SECONDS_DEFAULT,
            inbox_instance: None,
        }
    }
}

impl InboxSettings {
    /// The wait after so many failed attempts: twice as long each time, up to a limit. Half of it
    /// is random, so that partitions do not retry in step.
    pub(crate) fn retry_delay(&self, attempts: i32) -> Duration {
        let doubled = self
            .inbox_retry_first
            .saturating_mul(1 << attempts.clamp(1, 16) >> 1);
        let limit = doubled.min(self.inbox_retry_most).max(2);
        Duration::from_millis(rand::rng().random_range(limit / 2..=limit))
    }
}

/// Reads `INBOX_DAYS`.
fn parse_days(text: &str) -> Result<u16, String> {
    let days: u16 = text
        .parse()
        .map_err(|_| format!("{text:?} is no whole number of days"))?;
    if days < INBOX_DAYS_MIN {
        return Err(format!(
            "an outbox can send an event again for up to 36 hours, and an inbox that has forgotten \
             it would apply it again: set INBOX_DAYS to {INBOX_DAYS_MIN} or more"
        ));
    }
    if days > INBOX_DAYS_MAX {
        return Err(format!(
            "an inbox remembers for {INBOX_DAYS_MAX} days at most"
        ));
    }
    Ok(days)
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
        assert_eq!(read("2").unwrap().inbox.inbox_days, INBOX_DAYS_MIN);
    }

    #[test]
    fn pauses_grow_to_their_limit() {
        let settings = InboxSettings::default();
        for (attempts, least, most) in [
            (1, 50, 100),
            (2, 100, 200),
            (4, 400, 800),
            (30, 5_000, 10_000),
        ] {
            let pause = settings.retry_delay(attempts).as_millis();
            assert!(
                (least..=most).contains(&pause),
                "attempt {attempts}: {pause} ms"
            );
        }
    }
}
