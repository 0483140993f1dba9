use db::{DbError, Tx};
use kernel::{EventId, UserId};

use crate::{
    domain::news::News,
    store::notifications::{self, NewNotification},
};

/// Tells a user the news that the event `id` brought. What they were told already is not told again.
pub async fn tell_user(tx: &mut Tx<'_>, id: EventId, user_id: UserId, news: &News) -> Result<(), DbError> {
    let text = news.text();
    let new = NewNotification {
        id,
        user_id,
        kind: news.kind(),
        order_id: news.order_id(),
        text: &text,
    };
    if !notifications::add(tx, &new).await? {
        tracing::info!(kind = news.kind(), "was told before, ignored");
    }
    Ok(())
}
