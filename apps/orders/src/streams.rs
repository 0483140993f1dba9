//! Live streams of orders: which are open, and what there is to tell them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use db::{Db, DbError};
use kernel::{Class, Classify, OrderId, UserId, cause_chain};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::store::facts::{self, Learnt};

const LOOK_EVERY: Duration = Duration::from_millis(50);
/// When a user with too many streams may come again: one of them may have ended by then.
const COME_AGAIN_SECONDS: u32 = 5;

/// What is known of an order by now, as it was learnt.
type Known = Arc<Vec<Learnt>>;

/// The open streams of this process. However many there are, one query asks for all of them whether
/// there is news, and each order is read once for all who follow it. The events may have been
/// consumed by another replica.
#[derive(Clone)]
pub struct Streams(Arc<Inner>);

struct Inner {
    db: Db,
    most: usize,
    most_of_one: usize,
    open: Mutex<Open>,
    opened: Notify,
}

#[derive(Default)]
struct Open {
    all: usize,
    by_user: HashMap<UserId, usize>,
    orders: HashMap<OrderId, watch::Sender<Known>>,
    /// No more are opened.
    is_over: bool,
}

/// One of those who follow an order.
pub struct Follower {
    known: watch::Receiver<Known>,
    _place: Place,
}

/// A place among the streams that may be open; it is free again when this is dropped.
struct Place {
    user: UserId,
    streams: Streams,
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum NoPlace {
    #[error(
        "you are watching {most} orders already; end one of these streams, or look at the order itself"
    )]
    TooMany { most: usize },
    #[error(
        "too many orders are being watched at the moment; look at the order itself, or try again later"
    )]
    Busy,
}

impl Classify for NoPlace {
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
        Some(COME_AGAIN_SECONDS)
    }
}

impl Streams {
    /// At most so many streams, and so many of one user.
    pub fn new(db: Db, most: usize, most_of_one: usize) -> Self {
        Self(Arc::new(Inner {
            db,
            most,
            most_of_one,
            open: Mutex::default(),
            opened: Notify::new(),
        }))
    }

    pub fn follow(&self, order_id: OrderId, user: UserId) -> Result<Follower, NoPlace> {
        let Inner {
            most, most_of_one, ..
        } = *self.0;
        let mut open = self.open();
        let of_user = open.by_user.get(&user).copied().unwrap_or_default();
        if of_user >= most_of_one {
            return Err(NoPlace::TooMany { most: most_of_one });
        }
        if open.all >= most || open.is_over {
            return Err(NoPlace::Busy);
        }
        open.all += 1;
        open.by_user.insert(user, of_user + 1);
        let known = open.orders.entry(order_id).or_default().subscribe();
        self.0.opened.notify_one();
        Ok(Follower {
            known,
            _place: Place {
                user,
                streams: self.clone(),
            },
        })
    }

    /// Tells the streams what their orders have learnt, until `stop`, which ends them all.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(async {
            loop {
                if let Err(error) = self.look().await {
                    tracing::warn!(
                        error = cause_chain(&error),
                        "streams cannot be told the news"
                    );
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        })
        .await;
        let mut open = self.open();
        open.is_over = true;
        open.orders.clear();
    }

    async fn look(&self) -> Result<(), DbError> {
        let opened = self.0.opened.notified();
        let followed: Vec<(OrderId, i32)> = {
            let mut open = self.open();
            open.orders.retain(|_, known| known.receiver_count() > 0);
            let orders = open.orders.iter();
            orders
                .map(|(order_id, known)| (*order_id, last(&known.borrow())))
                .collect()
        };
        if followed.is_empty() {
            opened.await;
            return Ok(());
        }
        let news = self
            .0
            .db
            .transaction("orders.look_for_news", async |tx| {
                facts::news(tx, &followed).await
            })
            .await?;
        let mut open = self.open();
        for (order_id, news) in news {
            match news {
                Ok(news) => {
                    if let Some(known) = open.orders.get(&order_id) {
                        known.send_modify(|known| Arc::make_mut(known).extend(news));
                    }
                }
                // Its clients come back by themselves.
                Err(error) => {
                    tracing::warn!(%order_id, error = cause_chain(&error), "streams are cut off");
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

/// The number of the last fact.
fn last(known: &[Learnt]) -> i32 {
    known.last().map_or(0, |last| last.number)
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.open();
        open.all -= 1;
        if let Some(count) = open.by_user.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                open.by_user.remove(&self.user);
            }
        }
    }
}

impl Follower {
    /// All that was learnt of the order by now, as soon as that is more than `seen`; `None` if
    /// there will be no more, because the service stops, or the order cannot be read.
    pub async fn beyond(&mut self, seen: i32) -> Option<Known> {
        let known = self.known.wait_for(|known| last(known) > seen).await;
        known.ok().map(|known| Arc::clone(&known))
    }
}
