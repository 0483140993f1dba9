use chrono::{DateTime, Utc};
use db::Tx;
use kernel::{EventId, UserId};

use crate::{domain::news::News, store::notifications};

/// Tells a user the news of an event, given by its id and its time. What they were told already is
/// not told again.
pub fn tell_user(
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
