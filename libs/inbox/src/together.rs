//! Events of several partitions share a transaction: its begin, its commit, the wait for the disk,
//! the claims of the events and what they publish are then paid once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{Message, Outcome, apply, worker::Shared};

/// For how long a worker waits for others to be done before it goes on by itself.
const PATIENCE: Duration = Duration::from_millis(100);
/// Nor do many events wait any longer for a row that somebody else has: each by itself only holds
/// up its own partition.
const LOCK_PATIENCE: Duration = Duration::from_millis(50);
/// Nor does anybody wait any longer for a handler of somebody else's event: all are rolled back and
/// done one by one, where what is slow is slow alone. Many times what so many events take.
const WORK_PATIENCE: Duration = Duration::from_secs(1);
/// The longest rest after a transaction.
const LONGEST_REST: Duration = Duration::from_millis(12);
/// The rest after each transaction where nobody waits for them. With it a worker is served well
/// before it loses its patience.
const UNHURRIED_REST: Duration = Duration::from_millis(60);

/// What a worker has in hand.
struct Offer {
    messages: Arc<Vec<Message>>,
    /// Whoever sets it has them: the carrier, or the worker again.
    taken: Arc<AtomicBool>,
    answer: oneshot::Sender<Option<Vec<Outcome>>>,
}

/// Where workers offer what they have in hand.
#[derive(Clone)]
pub(crate) struct Together(mpsc::UnboundedSender<Offer>);

/// Carries out what is offered.
pub(crate) struct Carrier(mpsc::UnboundedReceiver<Offer>);

pub(crate) fn together() -> (Together, Carrier) {
    let (offers, offered) = mpsc::unbounded_channel();
    (Together(offers), Carrier(offered))
}

impl Together {
    /// Applies the messages of a partition, with those of others that are there at the moment.
    /// `None` says that nothing has happened, and that each should be applied by itself.
    pub async fn apply(&self, messages: &Arc<Vec<Message>>) -> Option<Vec<Outcome>> {
        let taken = Arc::new(AtomicBool::new(false));
        let (answer, mut answered) = oneshot::channel();
        let offer = Offer {
            messages: messages.clone(),
            taken: taken.clone(),
            answer,
        };
        self.0.send(offer).ok()?;
        let waited = tokio::time::timeout(PATIENCE, &mut answered).await;
        let answer = match waited {
            Ok(answer) => answer,
            Err(_) if !taken.swap(true, Ordering::SeqCst) => return None,
            Err(_) => answered.await,
        };
        answer.ok()?
    }
}

impl Carrier {
    /// One transaction after the other, each with all that is there, for as long as workers offer
    /// something.
    pub async fn run<S: Send + Sync + 'static>(mut self, shared: Arc<Shared<S>>) {
        let most = usize::from(shared.settings.inbox_batch);
        // Half as many after a failure, and one more after a success: with more than one replica,
        // the more events are together the sooner two transactions stand in each other's way.
        let mut wanted = most;
        let mut rested = Instant::now();
        loop {
            tokio::time::sleep_until(rested).await;
            let Some(offers) = self.next(wanted).await else {
                return;
            };
            let messages: Vec<&Message> = offers
                .iter()
                .flat_map(|offer| offer.messages.iter())
                .collect();
            let events = messages.len();
            // What is left need not be waited for.
            let is_full = events >= wanted;
            let _room = shared.room().await;
            let began = Instant::now();
            let applied = {
                let Shared {
                    db,
                    subscriptions,
                    state,
                    ..
                } = &*shared;
                let work =
                    apply::apply_together(db, subscriptions, state, &messages, LOCK_PATIENCE);
                tokio::time::timeout(WORK_PATIENCE, work).await
            };
            match applied {
                Ok(Ok(outcomes)) => {
                    wanted = most.min(wanted + 1);
                    let mut outcomes = outcomes.into_iter();
                    for offer in offers {
                        let its_own = outcomes.by_ref().take(offer.messages.len()).collect();
                        // Who has been cut off meanwhile meets them again, and knows them.
                        let _ = offer.answer.send(Some(its_own));
                    }
                }
                failed_or_slow => {
                    wanted = (wanted / 2).max(1);
                    tracing::debug!(?failed_or_slow, events, "events are done again one by one");
                    for offer in offers {
                        let _ = offer.answer.send(None);
                    }
                }
            }
            rested = Instant::now();
            if !is_full {
                rested += if shared.subscriptions.is_unhurried() {
                    UNHURRIED_REST
                } else {
                    rest(rested - began, events)
                };
            }
        }
    }

    /// What is offered, up to about `wanted` messages; `None` when nobody can offer any more.
    async fn next(&mut self, wanted: usize) -> Option<Vec<Offer>> {
        let mut offers = Vec::new();
        let mut count = 0;
        let mut next = Some(self.0.recv().await?);
        while let Some(offer) = next {
            if !offer.taken.swap(true, Ordering::SeqCst) {
                count += offer.messages.len();
                offers.push(offer);
            }
            next = if count < wanted {
                self.0.try_recv().ok()
            } else {
                None
            };
        }
        Some(offers)
    }
}

/// For as long as a transaction took, for each of its events but the first. Whoever is alone never
/// waits for the carrier; the more come at once, the more are taken together, and the fewer
/// transactions there are.
fn rest(took: Duration, events: usize) -> Duration {
    let others = u32::try_from(events.saturating_sub(1)).unwrap_or(u32::MAX);
    took.saturating_mul(others).min(LONGEST_REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_came_at_once_the_longer_is_the_rest() {
        let took = Duration::from_millis(5);
        for (events, millis) in [(0, 0), (1, 0), (2, 5), (3, 10), (50, 12), (usize::MAX, 12)] {
            assert_eq!(
                rest(took, events),
                Duration::from_millis(millis),
                "{events} events"
            );
        }
    }
}
