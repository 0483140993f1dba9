use chrono::{DateTime, Utc};
use db::{DbError, DeferredWrite, Tx, cached, lock_class};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Array, Integer, Nullable, Text, Timestamptz, Uuid},
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

/// Notifications, which are written together when the transaction commits.
#[derive(Default)]
struct UnwrittenNotifications {
    ids: Vec<EventId>,
    users: Vec<UserId>,
    kinds: Vec<&'static str>,
    orders: Vec<Option<OrderId>>,
    texts: Vec<String>,
    times: Vec<Option<DateTime<Utc>>>,
}

/// Locks the orders of notifications. The shipment and the end of an order are events of different
/// topics, so two transactions may add them at the same time: with the lock the later one sees the
/// notification of the earlier one.
const LOCK_ORDERS: &str = "SELECT pg_advisory_xact_lock($2, key) FROM (
      SELECT DISTINCT hashtext(order_id::text) AS key
      FROM unnest($1) AS of (order_id) WHERE order_id IS NOT NULL ORDER BY key
    ) AS keys";

/// Adds notifications, each with the time of its event. Events come from different databases, whose
/// clocks may differ, so the time is changed where an order would end before its shipment.
const ADD: &str = "WITH new AS (
      SELECT id, user_id, kind, order_id, text, coalesce(at, clock_timestamp()) AS at
      FROM unnest($1, $2, $3, $4, $5, $6) AS new (id, user_id, kind, order_id, text, at)
    ), shipment AS (
      SELECT order_id, at FROM notifications WHERE order_id = ANY ($4) AND kind = 'shipped'
      UNION ALL SELECT order_id, at FROM new WHERE kind = 'shipped'
    ), outcome AS (
      SELECT order_id, at FROM notifications
      WHERE order_id = ANY ($4) AND kind IN ('delivered', 'rejected', 'cancelled', 'refunded')
      UNION ALL SELECT order_id, at FROM new WHERE order_id IS NOT NULL AND kind <> 'shipped'
    )
    INSERT INTO notifications (id, user_id, kind, order_id, text, at)
    SELECT id, user_id, kind, order_id, text, CASE
      WHEN order_id IS NULL THEN at
      WHEN kind = 'shipped'
        THEN least(at, (SELECT min(o.at) - interval '1 microsecond'
                        FROM outcome o WHERE o.order_id = new.order_id))
      ELSE greatest(at, (SELECT max(s.at) + interval '1 microsecond'
                         FROM shipment s WHERE s.order_id = new.order_id))
    END FROM new
    ON CONFLICT DO NOTHING";

impl DeferredWrite for UnwrittenNotifications {
    fn write(self: Box<Self>, conn: &mut AsyncPgConnection) -> BoxFuture<'_, Result<(), DbError>> {
        let gathered = self.ids.len();
        let is_of_orders = self.orders.iter().any(Option::is_some);
        let lock = sql_query(LOCK_ORDERS)
            .bind::<Array<Nullable<Uuid>>, _>(self.orders.clone())
            .bind::<Integer, _>(lock_class::TOLD_ORDER);
        let query = sql_query(ADD)
            .bind::<Array<Uuid>, _>(self.ids)
            .bind::<Array<Uuid>, _>(self.users)
            .bind::<Array<Text>, _>(self.kinds)
            .bind::<Array<Nullable<Uuid>>, _>(self.orders)
            .bind::<Array<Text>, _>(self.texts)
            .bind::<Array<Nullable<Timestamptz>>, _>(self.times);
        async move {
            if is_of_orders {
                cached(lock).execute(conn).await?;
            }
            let added = cached(query).execute(conn).await?;
            if added < gathered {
                tracing::info!(
                    notifications = gathered - added,
                    "the notifications were added before, so they are ignored"
                );
            }
            Ok(())
        }
        .boxed()
    }
}

/// The position of a notification in its user's list: its time, and its id where times are equal.
pub type Position = (DateTime<Utc>, EventId);

/// Adds the notification of an event, given by its id and its time, when the transaction commits.
/// A second notification of the event, or of its order's shipment or end, is ignored.
pub fn add(
    tx: &mut Tx<'_>,
    (id, at): (EventId, Option<DateTime<Utc>>),
    user_id: UserId,
    kind: &'static str,
    order_id: Option<OrderId>,
    text: String,
) {
    let unwritten: &mut UnwrittenNotifications = tx.deferred();
    unwritten.ids.push(id);
    unwritten.users.push(user_id);
    unwritten.kinds.push(kind);
    unwritten.orders.push(order_id);
    unwritten.texts.push(text);
    unwritten.times.push(at);
}

/// Up to `limit` of a user's notifications, newest first, from behind the position `after`.
pub async fn of_user(
    tx: &mut Tx<'_>,
    user_id: UserId,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<Notification>, DbError> {
    use notifications::dsl;
    let mut query = notifications::table
        .filter(dsl::user_id.eq(user_id))
        .order((dsl::at.desc(), dsl::id.desc()))
        .limit(limit)
        .select(Notification::as_select())
        .into_boxed();
    if let Some((at, id)) = after {
        query = query.filter(dsl::at.le(at).and(dsl::at.lt(at).or(dsl::id.lt(id))));
    }
    Ok(query.load(&mut **tx).await?)
}
