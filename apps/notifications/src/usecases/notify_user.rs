use chrono::{DateTime, Utc};
use db::Tx;
use kernel::{EventId, UserId};

use crate::{domain::news::News, store::notifications};

/// Notifies a user of the news of an event, given by its id and its time. A user is notified of it
/// once.
pub fn notify_user(
    tx: &mut Tx<'_>,
    (id, at): (EventId, Option<DateTime<Utc>>),
    user_id: UserId,
    news: &News,
) {
    notifications::add(
        tx,
        (id, at),
        user_id,
        news.kind(),
        news.order_id(),
        news.text(),
    );
}
