use std::time::Duration;

use kernel::cause_chain;
use outbox::log::{Origin, Restart, Session};
use rand::Rng;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    GoOnFrom, OnPromotion, RelaySettings,
    error::RelayError,
    maintain,
    metrics::RelayMetrics,
    producer::{Producer, shared::ProducerError},
    reader::{Reader, SendMode},
};

/// Between a standby's attempts to lead: it bounds how long no relay sends when the leader ends.
const LEAD_ATTEMPT_INTERVAL: Duration = Duration::from_millis(200);
/// The first backoff after an error; each further one is twice as long.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// The longest backoff: how long after the end of an outage the relay may still wait.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Relays until it is told to stop; then drains, for at most the time that the settings allow.
pub async fn run(
    mut settings: RelaySettings,
    metrics: RelayMetrics,
    stop: CancellationToken,
) -> Result<(), RelayError> {
    let _maintenance =
        AbortOnDropHandle::new(tokio::spawn(maintain::run(settings.clone(), stop.clone())));
    // One period for all connections: while Kafka refuses events the relay opens one after the
    // other.
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
            metrics.clear_leader();
            Ok(())
        }
    }
}

/// Leads with one connection after the other: each error ends a connection, and the next one starts
/// from the saved cursor.
async fn keep_leading(
    settings: &mut RelaySettings,
    metrics: &RelayMetrics,
    stop: &CancellationToken,
) -> Result<(), RelayError> {
    let mut backoff = BACKOFF_MIN;
    let mut send_mode = SendMode::Pipelined;
    loop {
        let began = Instant::now();
        let outcome = lead(settings, metrics, stop, send_mode).await;
        metrics.clear_leader();
        match outcome {
            Ok(()) => return Ok(()),
            Err(error) if error.is_final() => return Err(error),
            // Sending one by one shows which event Kafka refuses.
            Err(RelayError::Producer(ProducerError::Refused(refused)))
                if send_mode == SendMode::Pipelined =>
            {
                tracing::warn!(
                    position = refused.position,
                    until = refused.until,
                    reason = refused.reason,
                    "Kafka refused events; sending one by one up to there"
                );
                send_mode = SendMode::OneByOne {
                    until: refused.until,
                };
            }
            Err(RelayError::Producer(ProducerError::Refused(_))) => {
                send_mode = SendMode::Pipelined;
            }
            Err(error) => {
                tracing::warn!(
                    error = cause_chain(&error),
                    "the relay starts again from its saved cursor"
                );
                send_mode = SendMode::Pipelined;
                if began.elapsed() > BACKOFF_MAX {
                    backoff = BACKOFF_MIN;
                }
                // A random share keeps several relays from coming back at the same moment.
                let jitter = rand::rng().random_range(0.5..1.0);
                let sleep = tokio::time::sleep(backoff.mul_f64(jitter));
                if matches!(error, RelayError::Producer(_)) {
                    // A relay that is told to stop waits and tries again, too: until the end of the
                    // drain it sends what is committed.
                    sleep.await;
                } else if stop.run_until_cancelled(sleep).await.is_none() {
                    return Ok(());
                }
                backoff = (backoff * 2).min(BACKOFF_MAX);
                continue;
            }
        }
        backoff = BACKOFF_MIN;
    }
}

/// Opens one connection, becomes the leader, and relays until it is told to stop or an error ends
/// the connection.
async fn lead(
    settings: &mut RelaySettings,
    metrics: &RelayMetrics,
    stop: &CancellationToken,
    send_mode: SendMode,
) -> Result<(), RelayError> {
    let mut session = Session::open(&settings.postgres, "outbox-relay").await?;
    let mut is_standby = false;
    while !session.try_lead().await? {
        if !is_standby {
            tracing::info!("another relay leads; this one is a standby");
            is_standby = true;
        }
        if stop
            .run_until_cancelled(tokio::time::sleep(LEAD_ATTEMPT_INTERVAL))
            .await
            .is_none()
        {
            return Ok(());
        }
    }
    check_origin(&mut session, settings, metrics).await?;
    // The option was meant for this cluster, and takes effect once.
    settings.go_on_from = None;
    // A cursor that was read before the relay had the lock may be old.
    let (cursor, _) = session.load_cursor().await?;
    metrics.leader.set(1);
    tracing::info!(
        source = settings.source,
        cursor = cursor.acknowledged,
        "this relay leads"
    );
    let producer = Producer::start(settings, metrics.clone())?;
    let reader = Reader::new(session, producer, settings, metrics, cursor, send_mode).await?;
    reader.run(stop).await
}

/// Returns an error if the cursor is from another cluster, unless the settings allow to go on.
async fn check_origin(
    session: &mut Session,
    settings: &RelaySettings,
    metrics: &RelayMetrics,
) -> Result<(), RelayError> {
    let found = session.origin().await?;
    let (_, saved) = session.load_cursor().await?;
    if saved == Some(found) {
        return Ok(());
    }
    if let Some(saved) = saved {
        if saved.system_identifier != found.system_identifier {
            return restart(session, settings, saved, found).await;
        }
        accept_promotion(settings, metrics, saved, found)?;
    }
    Ok(session.save_origin(found).await?)
}

/// Goes on in another cluster, as an operator said by an option.
async fn restart(
    session: &mut Session,
    settings: &RelaySettings,
    saved: Origin,
    here: Origin,
) -> Result<(), RelayError> {
    let (saved, found) = (saved.system_identifier, here.system_identifier);
    let from = match settings.go_on_from {
        Some(GoOnFrom::Now) => Restart::Now,
        Some(GoOnFrom::All) => Restart::All,
        None => return Err(RelayError::OtherCluster { saved, found }),
    };
    tracing::warn!(
        saved,
        found,
        ?from,
        "the database is on another cluster; going on as told"
    );
    Ok(session.restart(from, here).await?)
}

/// Goes on after a promotion, with a warning, unless the settings say to stop.
fn accept_promotion(
    settings: &RelaySettings,
    metrics: &RelayMetrics,
    saved: Origin,
    found: Origin,
) -> Result<(), RelayError> {
    let (saved, found) = (saved.timeline, found.timeline);
    if settings.on_promotion == OnPromotion::Stop {
        return Err(RelayError::Promoted { saved, found });
    }
    tracing::warn!(saved, found, "the database was promoted; going on");
    metrics.promotions.inc();
    Ok(())
}
