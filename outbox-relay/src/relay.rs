use std::time::Duration;

use connect::ConnectError;
use kernel::cause_chain;
use outbox::log::{LogError, Origin, Restart, Session};
use rand::Rng;
use rdkafka::error::KafkaError;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    GoOnFrom, OnPromotion, RelaySettings, maintain,
    metrics::RelayMetrics,
    producer::{Producer, Trouble},
    reader::{Reader, Style},
};

#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Trouble(#[from] Trouble),
    #[error("Kafka's producer cannot be made")]
    Producer(#[from] KafkaError),
}

impl RelayError {
    /// Whether only an operator can mend it.
    fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Log(
                LogError::OtherCluster { .. }
                    | LogError::Promoted { .. }
                    | LogError::UnknownCluster { .. }
                    | LogError::Connect(ConnectError::Pooler(_))
            )
        )
    }
}

const STAND_BY: Duration = Duration::from_millis(200);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Relays until stopped; then drains, for as long as it may.
pub async fn run(
    mut settings: RelaySettings,
    metrics: RelayMetrics,
    stop: CancellationToken,
) -> Result<(), RelayError> {
    let _maintenance =
        AbortOnDropHandle::new(tokio::spawn(maintain::run(settings.clone(), stop.clone())));
    // One period for all connections: while Kafka refuses events there is one after the other.
    let drain = Duration::from_secs(settings.drain_seconds);
    let grace = async {
        stop.cancelled().await;
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        outcome = keep_leading(&mut settings, &metrics, &stop) => outcome,
        () = grace => {
            let waiting = metrics.waiting.get();
            tracing::warn!(waiting, "not all was sent in time; the rest follows at the next start");
            metrics.lost_the_lead();
            Ok(())
        }
    }
}

/// From one connection to the next.
async fn keep_leading(
    settings: &mut RelaySettings,
    metrics: &RelayMetrics,
    stop: &CancellationToken,
) -> Result<(), RelayError> {
    let mut pause = FIRST_PAUSE;
    let mut style = Style::Pipelined;
    loop {
        let began = Instant::now();
        let outcome = lead(settings, metrics, stop, style).await;
        metrics.lost_the_lead();
        match outcome {
            Ok(()) => return Ok(()),
            Err(error) if error.is_final() => return Err(error),
            // Which event it is, and whether it alone, is found out one by one.
            Err(RelayError::Trouble(Trouble::Refused(refused))) if style == Style::Pipelined => {
                tracing::warn!(
                    position = refused.position,
                    until = refused.until,
                    reason = refused.reason,
                    "Kafka refused events; sending one by one up to there"
                );
                style = Style::OneByOne {
                    until: refused.until,
                };
            }
            Err(RelayError::Trouble(Trouble::Refused(_))) => style = Style::Pipelined,
            Err(error) => {
                tracing::warn!(
                    error = cause_chain(&error),
                    "the relay starts again from its saved cursor"
                );
                style = Style::Pipelined;
                if began.elapsed() > LONGEST_PAUSE {
                    pause = FIRST_PAUSE;
                }
                let by_chance = rand::rng().random_range(0.5..1.0);
                let pausing = tokio::time::sleep(pause.mul_f64(by_chance));
                if matches!(error, RelayError::Trouble(_)) {
                    // Also when it is told to stop: what is there is to be sent, for as long as it
                    // may take.
                    pausing.await;
                } else if stop.run_until_cancelled(pausing).await.is_none() {
                    return Ok(());
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
        }
        pause = FIRST_PAUSE;
    }
}

/// One connection: becomes the active relay, and reads until stopped or in trouble.
async fn lead(
    settings: &mut RelaySettings,
    metrics: &RelayMetrics,
    stop: &CancellationToken,
    style: Style,
) -> Result<(), RelayError> {
    let mut session = Session::open(&settings.postgres, "outbox-relay").await?;
    let mut standing_by = false;
    while !session.try_lead().await? {
        if !standing_by {
            tracing::info!("another relay is active; standing by");
            standing_by = true;
        }
        if stop
            .run_until_cancelled(tokio::time::sleep(STAND_BY))
            .await
            .is_none()
        {
            return Ok(());
        }
    }
    check_origin(&mut session, settings, metrics).await?;
    // It was meant for this cluster, and counts once.
    settings.go_on_from = None;
    // Only now: a cursor that was read before the lock was had may be old.
    let (cursor, _) = session.load_cursor().await?;
    metrics.leader.set(1);
    tracing::info!(
        source = settings.source,
        cursor = cursor.acknowledged,
        "this is the active relay"
    );
    let producer = Producer::start(settings, metrics.clone())?;
    let reader = Reader::new(session, producer, settings, metrics, cursor, style).await?;
    reader.run(stop).await
}

/// Refuses to go on in a cluster that the cursor is not from.
async fn check_origin(
    session: &mut Session,
    settings: &RelaySettings,
    metrics: &RelayMetrics,
) -> Result<(), LogError> {
    let found = session.origin().await?;
    let (_, saved) = session.load_cursor().await?;
    if saved == Some(found) {
        return Ok(());
    }
    if let Some(saved) = saved {
        if saved.system_identifier != found.system_identifier {
            return start_over(session, settings, saved, found).await;
        }
        accept_promotion(settings, metrics, saved, found)?;
    }
    session.save_origin(found).await
}

/// Goes on in another cluster, as the operator says.
async fn start_over(
    session: &mut Session,
    settings: &RelaySettings,
    saved: Origin,
    here: Origin,
) -> Result<(), LogError> {
    let (saved, found) = (saved.system_identifier, here.system_identifier);
    let from = match settings.go_on_from {
        Some(GoOnFrom::Now) => Restart::Now,
        Some(GoOnFrom::All) => Restart::All,
        None => return Err(LogError::OtherCluster { saved, found }),
    };
    tracing::warn!(
        saved,
        found,
        ?from,
        "the database is on another cluster; going on as told"
    );
    session.restart(from, here).await
}

fn accept_promotion(
    settings: &RelaySettings,
    metrics: &RelayMetrics,
    saved: Origin,
    found: Origin,
) -> Result<(), LogError> {
    let (saved, found) = (saved.timeline, found.timeline);
    if settings.on_promotion == OnPromotion::Stop {
        return Err(LogError::Promoted { saved, found });
    }
    tracing::warn!(saved, found, "the database was promoted; going on");
    metrics.promotions.inc();
    Ok(())
}
