use std::time::Duration;

use clap::Parser;
use connect::{KafkaSettings, PostgresSettings};
use outbox::log::{BUCKET_SECONDS, BUCKETS, PageSize};
use telemetry::{LogSettings, OpsSettings, ShutdownSettings, traces::TraceSettings};

/// Sends a service's outbox to Kafka: every committed event, in the order of its key, at least
/// once.
#[derive(Clone, Debug, Parser)]
#[command(name = "outbox-relay", version)]
pub struct RelaySettings {
    /// Whose events these are: the CloudEvents source. Its last part is the name of the service, or
    /// no consumer believes them
    #[arg(long, env = "RELAY_SOURCE", default_value = "/tovar")]
    pub source: String,

    /// Hours for which acknowledged events can be republished: at most 29, after which a bucket of
    /// the log has an hour to be emptied
    #[arg(
        long,
        env = "RELAY_RETENTION_HOURS",
        default_value_t = 24,
        value_parser = retention_hours
    )]
    pub retention_hours: u64,

    /// Rows that are read at a time
    #[arg(
        long,
        env = "RELAY_PAGE",
        default_value_t = 1000,
        value_parser = clap::value_parser!(i64).range(1..=100_000)
    )]
    pub page: i64,

    /// KiB of rows that are read at a time, if there are fewer of them than a page has; a larger
    /// event goes alone
    #[arg(
        long,
        env = "RELAY_PAGE_KIB",
        default_value_t = 2048,
        value_parser = clap::value_parser!(u32).range(64..=65_536)
    )]
    pub page_kib: u32,

    /// KiB of events that may wait for Kafka's acknowledgement
    #[arg(
        long,
        env = "RELAY_BUFFER_KIB",
        default_value_t = 8_192,
        value_parser = clap::value_parser!(u32).range(1024..=2_000_000)
    )]
    pub buffer_kib: u32,

    /// Milliseconds that Kafka's client gathers events before it sends; under load it gathers by
    /// itself
    #[arg(
        long,
        env = "RELAY_LINGER_MS",
        default_value_t = 0,
        value_parser = clap::value_parser!(u32).range(0..=1000)
    )]
    pub linger_ms: u32,

    /// Milliseconds without events after which the relay sleeps: publishers then wake it for each,
    /// until they come closer together
    #[arg(long, env = "RELAY_QUIET_MS", default_value_t = 1)]
    pub quiet_ms: u64,

    /// Seconds for sending what is there when the relay is told to stop
    #[arg(long, env = "RELAY_DRAIN_SECONDS", default_value_t = 20)]
    pub drain_seconds: u64,

    /// What to do when the database was promoted to a new timeline
    #[arg(long, env = "RELAY_ON_PROMOTION", value_enum, default_value_t = OnPromotion::GoOn)]
    pub on_promotion: OnPromotion,

    /// From where to go on in a database that was copied or restored elsewhere; give it for one
    /// start only
    #[arg(long, env = "RELAY_GO_ON_FROM", value_enum)]
    pub go_on_from: Option<GoOnFrom>,

    #[command(flatten)]
    pub postgres: PostgresSettings,
    #[command(flatten)]
    pub kafka: KafkaSettings,
    #[command(flatten)]
    pub ops: OpsSettings,
    #[command(flatten)]
    pub traces: TraceSettings,
    #[command(flatten)]
    pub log: LogSettings,
    #[command(flatten)]
    pub shutdown: ShutdownSettings,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum OnPromotion {
    /// Warn, count, and go on: the saved cursor came along in the same WAL
    GoOn,
    /// Stop and wait for an operator
    Stop,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum GoOnFrom {
    /// What is in the outbox counts as sent
    Now,
    /// All of it is sent again
    All,
}

/// The longest retention. A bucket is written to for 6 hours, and again 30 hours after these have
/// ended. It can be emptied only in between, and gets the last of these hours for it.
const RETENTION_HOURS_MAX: u64 = (BUCKETS as u64 - 1) * BUCKET_SECONDS as u64 / 3600 - 1;

fn retention_hours(text: &str) -> Result<u64, String> {
    let hours = text
        .parse()
        .map_err(|_| "not a number of hours".to_owned())?;
    if hours <= RETENTION_HOURS_MAX {
        return Ok(hours);
    }
    Err(format!(
        "at most {RETENTION_HOURS_MAX} hours: events lie in {BUCKETS} buckets by the time of day, \
         and each is written to anew {} hours after it was full; it must be old enough to be \
         emptied an hour before that, or the outbox grows without end",
        RETENTION_HOURS_MAX + 1
    ))
}

impl RelaySettings {
    /// Settings for `postgres` and `kafka` with every default.
    pub fn new(source: &str, postgres: PostgresSettings, kafka: KafkaSettings) -> Self {
        let arguments = ["outbox-relay", "--database-url", "postgres://"];
        let defaults = Self::try_parse_from(arguments).expect("the defaults are valid");
        Self {
            source: source.to_owned(),
            postgres,
            kafka,
            ..defaults
        }
    }

    /// The service whose events these are: the last part of the source.
    pub(crate) fn service(&self) -> &str {
        self.source.rsplit('/').next().unwrap_or_default()
    }

    /// How much the relay reads at a time.
    pub fn page_size(&self) -> PageSize {
        PageSize::new(self.page, self.page_kib as usize * 1024)
    }

    pub(crate) fn retention(&self) -> Duration {
        Duration::from_secs(self.retention_hours * 3600)
    }
}
