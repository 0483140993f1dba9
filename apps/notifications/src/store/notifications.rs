use chrono::{DateTime, Utc};
use db::{DbError, Gathered, Tx, cached};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Array, Nullable, Text, Uuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::{FutureExt, future::BoxFuture};
use kernel::{EventId, OrderId, UserId};

use super::schema::notifications;

#[derive(Queryable, Selectable)]
#[diesel(table_name = notifications)]
#[diesel(check_for_backend(diesel::pg::Pg))]
pub struct Notification {
    pub id: EventId,
    pub kind: String,
    pub order_id: Option<OrderId>,
    pub text: String,
    pub at: DateTime<Utc>,
}

/// Notifications, until the transaction commits.
#[derive(Default)]
struct Unwritten {
    ids: Vec<EventId>,
    users: Vec<UserId>,
    kinds: Vec<&'static str>,
    orders: Vec<Option<OrderId>>,
    texts: Vec<String>,
}

impl Gathered for Unwritten {
    fn write(self: Box<Self>, conn: &mut AsyncPgConnection) -> BoxFuture<'_, Result<(), DbError>> {
        let gathered = self.ids.len();
        let query = sql_query(
            "INSERT INTO notifications (id, user_id, kind, order_id, text) SELECT * FROM unnest($1, $2, $3, $4, $5)
             ON CONFLICT DO NOTHING",
        )
        .bind::<Array<Uuid>, _>(self.ids)
        .bind::<Array<Uuid>, _>(self.users)
        .bind::<Array<Text>, _>(self.kinds)
        .bind::<Array<Nullable<Uuid>>, _>(self.orders)
        .bind::<Array<Text>, _>(self.texts);
        async move {
            let added = cached(query).execute(conn).await?;
            if added < gathered {
                tracing::info!(notifications = gathered - added, "were told before, ignored");
            }
            Ok(())
        }
        .boxed()
    }
}

/// A notification's place among its user's: when it was told, and its id where that is the same.
pub type Place = (DateTime<Utc>, EventId);

/// Adds a notification when the transaction commits, unless its event, its order's shipment or its order's end was told before.
pub fn add(
    tx: &mut Tx<'_>,
    id: EventId,
    user_id: UserId,
    kind: &'static str,
    order_id: Option<OrderId>,
    text: String,
) {
    let unwritten: &mut Unwritten = tx.gather();
    unwritten.ids.push(id);
    unwritten.users.push(user_id);
    unwritten.kinds.push(kind);
    unwritten.orders.push(order_id);
    unwritten.texts.push(text);
}

/// Up to `most` of a user's notifications, newest first, from behind the place `after`.
pub async fn of_user(
    tx: &mut Tx<'_>,
    user_id: UserId,
    after: Option<Place>,
    most: i64,
) -> Result<Vec<Notification>, DbError> {
    use notifications::dsl;
    let mut query = notifications::table
        .filter(dsl::user_id.eq(user_id))
        .order((dsl::at.desc(), dsl::id.desc()))
        .limit(most)
        .select(Notification::as_select())
        .into_boxed();
    if let Some((at, id)) = after {
        query = query.filter(dsl::at.le(at).and(dsl::at.lt(at).or(dsl::id.lt(id))));
    }
    Ok(query.load(&mut **tx).await?)
}
