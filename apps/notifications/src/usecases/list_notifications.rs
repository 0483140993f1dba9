use chrono::{DateTime, Utc};
use db::{DbError, Tx};
use kernel::{EventId, OrderId, UserId};
use serde::Serialize;
use service_kit::Page;
use utoipa::ToSchema;

use crate::{
    state::State,
    store::notifications::{self, Notification, Position},
};

pub struct ListNotifications {
    pub user_id: UserId,
    pub limit: i64,
    /// The last position of the page before.
    pub after: Option<Position>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct NotificationView {
    #[schema(value_type = String, format = Uuid)]
    pub id: EventId,
    #[schema(example = "delivered")]
    pub kind: String,
    /// The order that it is about, if it is about one.
    pub order_id: Option<OrderId>,
    #[schema(example = "Your order was delivered.")]
    pub text: String,
    pub at: DateTime<Utc>,
}

impl From<Notification> for NotificationView {
    fn from(row: Notification) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            order_id: row.order_id,
            text: row.text,
            at: row.at,
        }
    }
}

/// A user's notifications, newest first.
pub async fn list_notifications(
    tx: &mut Tx<'_>,
    _: &State,
    list: &ListNotifications,
) -> Result<Page<NotificationView>, DbError> {
    let rows = notifications::of_user(tx, list.user_id, list.after, list.limit + 1).await?;
    let views = rows.into_iter().map(NotificationView::from).collect();
    Ok(Page::cut(views, list.limit, |last: &NotificationView| {
        (last.at, last.id)
    }))
}
