use db::Tx;
use kernel::{EventId, UserId};

use crate::{domain::news::News, store::notifications};

/// Tells a user the news that the event `id` brought. What they were told already is not told again.
pub fn tell_user(tx: &mut Tx<'_>, id: EventId, user_id: UserId, news: &News) {
    notifications::add(tx, id, user_id, news.kind(), news.order_id(), news.text());
}
