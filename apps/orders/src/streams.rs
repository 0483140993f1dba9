//! Live streams of orders: which are open, and the facts that they wait for.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use db::{Db, DbError};
use kernel::{Class, Classify, OrderId, UserId, cause_chain};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::store::facts::{self, NumberedFact};

/// The delay between two queries for new facts. It bounds how late a stream is; no person notices
/// 50 ms.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// When a user with too many streams may try again: one of the streams may have ended by then.
const RETRY_AFTER_SECONDS: u32 = 5;

/// The facts of an order that are known so far, by number.
type Known = Arc<Vec<NumberedFact>>;

/// The open streams of this process. One query asks for new facts of all their orders, and each
/// order is read once for all its streams. Streams read the database, as another replica may have
/// consumed the events.
#[derive(Clone)]
pub struct Streams(Arc<Inner>);

struct Inner {
    db: Db,
    limit: usize,
    limit_per_user: usize,
    open: Mutex<Open>,
    opened: Notify,
}

#[derive(Default)]
struct Open {
    count: usize,
    by_user: HashMap<UserId, usize>,
    orders: HashMap<OrderId, watch::Sender<Known>>,
    /// The service stops: no more streams are opened.
    is_over: bool,
}

/// A stream's view of its order.
pub struct Follower {
    known: watch::Receiver<Known>,
    _permit: Permit,
}

/// Counts as one of the streams that may be open, until it is dropped.
struct Permit {
    user: UserId,
    streams: Streams,
}

/// Why a stream is not opened.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum StreamRefused {
    #[error(
        "you are watching {limit} orders already; end one of these streams, or look at the order \
         itself"
    )]
    TooMany { limit: usize },
    #[error(
        "too many orders are being watched at the moment; look at the order itself, or try again \
         later"
    )]
    Busy,
}

impl Classify for StreamRefused {
    fn class(&self) -> Class {
        match self {
            Self::TooMany { .. } => Class::Limited,
            Self::Busy => Class::Unavailable,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::TooMany { .. } => "too_many_streams",
            Self::Busy => "streams_busy",
        }
    }
    fn retry_after(&self) -> Option<u32> {
        Some(RETRY_AFTER_SECONDS)
    }
}

impl Streams {
    /// At most `limit` streams are open at a time, and `limit_per_user` of one user.
    pub fn new(db: Db, limit: usize, limit_per_user: usize) -> Self {
        Self(Arc::new(Inner {
            db,
            limit,
            limit_per_user,
            open: Mutex::default(),
            opened: Notify::new(),
        }))
    }

    /// Opens a stream of an order for a user.
    pub fn follow(&self, order_id: OrderId, user: UserId) -> Result<Follower, StreamRefused> {
        let Inner {
            limit,
            limit_per_user,
            ..
        } = *self.0;
        let mut open = self.open();
        let of_user = open.by_user.get(&user).copied().unwrap_or_default();
        if of_user >= limit_per_user {
            return Err(StreamRefused::TooMany {
                limit: limit_per_user,
            });
        }
        if open.count >= limit || open.is_over {
            return Err(StreamRefused::Busy);
        }
        open.count += 1;
        open.by_user.insert(user, of_user + 1);
        let known = open.orders.entry(order_id).or_default().subscribe();
        self.0.opened.notify_one();
        Ok(Follower {
            known,
            _permit: Permit {
                user,
                streams: self.clone(),
            },
        })
    }

    /// Passes new facts of orders on to their streams, until `stop`, which ends all streams.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(async {
            loop {
                if let Err(error) = self.poll_once().await {
                    tracing::warn!(
                        error = cause_chain(&error),
                        "the streams' orders cannot be read"
                    );
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        })
        .await;
        let mut open = self.open();
        open.is_over = true;
        open.orders.clear();
    }

    async fn poll_once(&self) -> Result<(), DbError> {
        let opened = self.0.opened.notified();
        let followed: Vec<(OrderId, i32)> = {
            let mut open = self.open();
            open.orders.retain(|_, known| known.receiver_count() > 0);
            let orders = open.orders.iter();
            orders
                .map(|(order_id, known)| (*order_id, last_number(&known.borrow())))
                .collect()
        };
        if followed.is_empty() {
            opened.await;
            return Ok(());
        }
        let new_facts = self
            .0
            .db
            .transaction("orders.look_for_news", async |tx| {
                facts::newer(tx, &followed).await
            })
            .await?;
        let mut open = self.open();
        for (order_id, of_order) in new_facts {
            match of_order {
                Ok(new) => {
                    if let Some(known) = open.orders.get(&order_id) {
                        known.send_modify(|known| Arc::make_mut(known).extend(new));
                    }
                }
                // The clients connect again by themselves.
                Err(error) => {
                    tracing::warn!(
                        %order_id,
                        error = cause_chain(&error),
                        "the order's streams are cut off"
                    );
                    open.orders.remove(&order_id);
                }
            }
        }
        Ok(())
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn last_number(known: &[NumberedFact]) -> i32 {
    known.last().map_or(0, |last| last.number)
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.streams.open();
        open.count -= 1;
        if let Some(count) = open.by_user.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                open.by_user.remove(&self.user);
            }
        }
    }
}

impl Follower {
    /// All facts of the order, as soon as there is one with a higher number than `seen`. `None` if
    /// no more will come, because the service stops or the order cannot be read.
    pub async fn facts_beyond(&mut self, seen: i32) -> Option<Known> {
        let known = self.known.wait_for(|known| last_number(known) > seen).await;
        known.ok().map(|known| Arc::clone(&known))
    }
}
