use db::Db;
use kernel::Clock;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{InboxSettings, Metrics, Subscriptions};

/// What all tasks of a consumer share.
pub(crate) struct Shared<S> {
    pub subscriptions: Subscriptions<S>,
    pub state: S,
    pub db: Db,
    pub settings: InboxSettings,
    pub metrics: Metrics,
    pub clock: Clock,
    /// One for each transaction that may be open at the same time.
    pub permits: Semaphore,
}

impl<S> Shared<S> {
    /// The consumer's name in the inbox.
    pub fn consumer(&self) -> &'static str {
        self.subscriptions.name()
    }

    /// Waits until one more transaction may be open. Dropping the permit gives it back.
    pub async fn permit(&self) -> SemaphorePermit<'_> {
        self.permits
            .acquire()
            .await
            .expect("the semaphore is never closed")
    }
}
