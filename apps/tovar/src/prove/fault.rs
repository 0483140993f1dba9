//! The faults: what goes wrong, and how it is repaired.

use std::time::Duration;

use tokio::time::sleep;

use super::{
    clock::Clock,
    process::{Process, Role},
    proxy::Mode,
    rig::Rig,
};

/// How long another relay may take until it leads.
const TAKE_OVER_TIMEOUT: Duration = Duration::from_secs(30);
/// Enough time for every connection to notice that it is cut.
const SETTLE_TIME: Duration = Duration::from_millis(200);
/// How long a consumer stays before the next one joins.
const JOIN_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The relay ends without warning
    RelayKilled,
    /// The relay ends without warning while what it sent is under way and does not arrive
    RelayKilledInFlight,
    /// The leading relay freezes, another one takes over, the first wakes up
    RelayFrozen,
    /// A second relay runs for a while
    RelaysTwo,
    /// Clocks of relay and consumers are an hour off, ahead and behind
    ClocksOff,
    /// A consumer ends without warning
    ConsumerKilled,
    /// A further consumer joins and leaves the group, again and again
    ConsumersJoinAndLeave,
    /// Kafka ends without warning
    BrokerKilled,
    /// Kafka hangs
    BrokerFrozen,
    /// Kafka's disk is full; it ends, and is started again when there is room
    BrokerDiskFull,
    /// Connections to Kafka are reset
    BrokerCut,
    /// Connections to Kafka are forgotten: they stay silent, and new ones work
    BrokerForgotten,
    /// Connections to Kafka go silent
    BrokerSilent,
    /// What is sent to Kafka does not arrive; what Kafka sends does
    BrokerSilentToServer,
    /// What is sent to Kafka arrives; what Kafka sends does not
    BrokerSilentToClient,
    /// PostgreSQL ends without warning
    DatabaseStopped,
    /// PostgreSQL's disk is full
    DatabaseDiskFull,
    /// Connections to PostgreSQL are reset
    DatabaseCut,
    /// Connections to PostgreSQL go silent
    DatabaseSilent,
    /// What is sent to PostgreSQL does not arrive; what PostgreSQL sends does
    DatabaseSilentToServer,
    /// What is sent to PostgreSQL arrives; what PostgreSQL sends does not
    DatabaseSilentToClient,
}

impl Fault {
    /// What it needs and this machine lacks.
    pub fn lacks(self, rig: &Rig) -> Option<&'static str> {
        match self {
            Self::ClocksOff if rig.wrong_clocks.is_none() => Some("a C compiler named cc"),
            Self::BrokerDiskFull | Self::DatabaseDiskFull if rig.disks.is_none() => {
                Some("the right to mount a disk, which root has")
            }
            _ => None,
        }
    }

    /// Causes the fault, lets it last for `time`, and repairs it.
    pub async fn strike(self, rig: &mut Rig, time: Duration) -> anyhow::Result<()> {
        match self {
            Self::RelayKilled => {
                rig.relays.clear();
                sleep(time).await;
            }
            Self::RelayKilledInFlight => {
                // What did not reach the broker is lost with the connection, as it would be with a
                // network card's memory.
                rig.to_kafka.set(Mode::SilentToServer);
                sleep(time).await;
                rig.relays.clear();
                rig.to_kafka.set(Mode::Cut);
                sleep(SETTLE_TIME).await;
                rig.to_kafka.set(Mode::Open);
            }
            Self::ConsumerKilled => {
                rig.consumers.pop();
                sleep(time).await;
            }
            Self::RelayFrozen => return relay_frozen(rig, time).await,
            Self::ClocksOff => return clocks_off(rig, time).await,
            Self::RelaysTwo => {
                let _second = rig.start_one(Role::Relay)?;
                sleep(time).await;
            }
            Self::ConsumersJoinAndLeave => return join_and_leave(rig, time).await,
            Self::BrokerKilled => {
                rig.kafka.kill().await?;
                sleep(time).await;
                rig.kafka.start_again().await?;
            }
            Self::BrokerDiskFull => {
                rig.disks()?.kafka.fill()?;
                sleep(time).await;
                rig.disks()?.kafka.make_room()?;
                rig.kafka.kill().await?;
                rig.kafka.start_again().await?;
            }
            Self::BrokerFrozen => {
                rig.kafka.freeze().await?;
                sleep(time).await;
                rig.kafka.thaw().await?;
            }
            Self::DatabaseStopped => {
                rig.postgres.stop_immediately().await?;
                sleep(time).await;
                rig.postgres.start_again().await?;
            }
            Self::BrokerForgotten => {
                rig.to_kafka.forget();
                sleep(time).await;
            }
            Self::DatabaseDiskFull => {
                rig.disks()?.postgres.fill()?;
                sleep(time).await;
                rig.disks()?.postgres.make_room()?;
                rig.postgres.revive().await?;
            }
            Self::BrokerCut
            | Self::BrokerSilent
            | Self::BrokerSilentToServer
            | Self::BrokerSilentToClient
            | Self::DatabaseCut
            | Self::DatabaseSilent
            | Self::DatabaseSilentToServer
            | Self::DatabaseSilentToClient => self.at_the_proxy(rig, time).await,
        }
        Ok(())
    }

    async fn at_the_proxy(self, rig: &Rig, time: Duration) {
        let (proxy, mode) = match self {
            Self::BrokerSilent => (&rig.to_kafka, Mode::Silent),
            Self::BrokerSilentToServer => (&rig.to_kafka, Mode::SilentToServer),
            Self::BrokerSilentToClient => (&rig.to_kafka, Mode::SilentToClient),
            Self::DatabaseCut => (&rig.to_postgres, Mode::Cut),
            Self::DatabaseSilent => (&rig.to_postgres, Mode::Silent),
            Self::DatabaseSilentToServer => (&rig.to_postgres, Mode::SilentToServer),
            Self::DatabaseSilentToClient => (&rig.to_postgres, Mode::SilentToClient),
            _ => (&rig.to_kafka, Mode::Cut),
        };
        proxy.set(mode);
        sleep(time).await;
        proxy.set(Mode::Open);
    }
}

/// PostgreSQL would end the frozen relay's session after 15 seconds of silence; the prover ends it
/// at once.
async fn relay_frozen(rig: &mut Rig, time: Duration) -> anyhow::Result<()> {
    let first = rig.leader(0, TAKE_OVER_TIMEOUT).await?;
    let mut frozen = rig.relays.remove(0);
    frozen.freeze()?;
    let client = rig.session().await?;
    client
        .execute("SELECT pg_terminate_backend($1::bigint::int)", &[&first])
        .await?;
    rig.restart_missing()?;
    rig.leader(first, TAKE_OVER_TIMEOUT).await?;
    sleep(time).await;
    frozen.thaw();
    rig.relays.push(frozen);
    sleep(time).await;
    rig.relays.truncate(1);
    Ok(())
}

/// Relays and consumers do their work with a clock that is ahead or behind.
async fn clocks_off(rig: &mut Rig, time: Duration) -> anyhow::Result<()> {
    for relay in [Clock::HourAhead, Clock::HourBehind] {
        rig.relays = vec![rig.start_at(Role::Relay, relay)?];
        rig.consumers = vec![
            rig.start_at(Role::Consumer, Clock::HourAhead)?,
            rig.start_at(Role::Consumer, Clock::HourBehind)?,
        ];
        sleep(time).await;
        rig.wait_for_progress(TAKE_OVER_TIMEOUT).await?;
        end_in_good_order(&mut rig.consumers).await;
    }
    rig.relays.clear();
    Ok(())
}

/// Stops processes in good order, so that they save how far they are: otherwise their successors
/// would repeat events and hide one that was left out.
async fn end_in_good_order(processes: &mut Vec<Process>) {
    processes.iter_mut().for_each(Process::ask_to_end);
    let ended = async {
        while !processes.iter_mut().all(Process::has_ended) {
            sleep(SETTLE_TIME).await;
        }
    };
    let _ = tokio::time::timeout(TAKE_OVER_TIMEOUT, ended).await;
    processes.clear();
}

async fn join_and_leave(rig: &mut Rig, time: Duration) -> anyhow::Result<()> {
    let mut left = time.as_secs() + 2;
    while left > 0 {
        let mut guest = rig.start_one(Role::Consumer)?;
        sleep(JOIN_INTERVAL).await;
        // It leaves in good order while the next one joins.
        guest.ask_to_end();
        rig.consumers.push(guest);
        left -= 1;
    }
    Ok(())
}
