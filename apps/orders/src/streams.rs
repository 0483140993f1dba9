//! Live streams of orders: which are open, and whether there is anything new for them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use db::{Db, DbError};
use kernel::{Class, Classify, OrderId, cause_chain};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::store::facts::{self, Learnt};

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The open streams of this process. However many there are, one query asks for all of them whether there is news:
/// the events may have been consumed by another replica.
#[derive(Clone)]
pub struct Streams(Arc<Inner>);

struct Inner {
    db: Db,
    room: Arc<Semaphore>,
    /// By order, how many facts it has.
    followed: Mutex<HashMap<OrderId, watch::Sender<i32>>>,
    opened: Notify,
}

/// A place in one of the streams; it is free again when this is dropped.
pub struct Follower {
    pub order_id: OrderId,
    news: watch::Receiver<i32>,
    streams: Streams,
    _room: OwnedSemaphorePermit,
}

#[derive(Debug, thiserror::Error)]
#[error("too many orders are being watched at the moment; look at the order itself, or try again later")]
pub struct TooManyStreams;

impl Classify for TooManyStreams {
    fn class(&self) -> Class {
        Class::Unavailable
    }
    fn code(&self) -> &'static str {
        "too_many_streams"
    }
}

impl Streams {
    pub fn new(db: Db, most: usize) -> Self {
        Self(Arc::new(Inner {
            db,
            room: Arc::new(Semaphore::new(most)),
            followed: Mutex::default(),
            opened: Notify::new(),
        }))
    }

    pub fn follow(&self, order_id: OrderId) -> Result<Follower, TooManyStreams> {
        let room = self.0.room.clone().try_acquire_owned();
        let room = room.map_err(|_| TooManyStreams)?;
        let news = self
            .followed()
            .entry(order_id)
            .or_insert_with(|| watch::Sender::new(0))
            .subscribe();
        self.0.opened.notify_one();
        Ok(Follower {
            order_id,
            news,
            streams: self.clone(),
            _room: room,
        })
    }

    /// Wakes the streams whose orders have got new facts, until `stop`, which ends them all.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(async {
            loop {
                if let Err(error) = self.look().await {
                    tracing::warn!(error = cause_chain(&error), "streams cannot be told the news");
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        })
        .await;
        self.0.room.close();
        self.followed().clear();
    }

    async fn look(&self) -> Result<(), DbError> {
        let opened = self.0.opened.notified();
        let orders: Vec<OrderId> = {
            let mut followed = self.followed();
            followed.retain(|_, news| news.receiver_count() > 0);
            followed.keys().copied().collect()
        };
        if orders.is_empty() {
            opened.await;
            return Ok(());
        }
        let counts = self
            .0
            .db
            .transaction("orders.look_for_news", async |tx| {
                facts::counts(tx, &orders).await
            })
            .await?;
        let followed = self.followed();
        for (order_id, count) in counts {
            if let (Some(news), Some(count)) = (followed.get(&order_id), count) {
                news.send_if_modified(|known| std::mem::replace(known, count) != count);
            }
        }
        Ok(())
    }

    fn followed(&self) -> std::sync::MutexGuard<'_, HashMap<OrderId, watch::Sender<i32>>> {
        self.0.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    /// All that was learnt of the order by now.
    pub async fn learnt(&self) -> Result<Vec<Learnt>, DbError> {
        let order_id = self.order_id;
        self.streams
            .0
            .db
            .transaction("orders.stream_order", async move |tx| {
                facts::learnt(tx, order_id).await
            })
            .await
    }

    /// Waits for more facts than `known`; `false` if there will be no more, because the service stops.
    pub async fn news(&mut self, known: i32) -> bool {
        self.news.wait_for(|count| *count > known).await.is_ok()
    }
}
