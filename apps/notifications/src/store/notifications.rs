use chrono::{DateTime, Utc};
use db::{DbError, Tx, cached};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
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

#[derive(Insertable)]
#[diesel(table_name = notifications)]
pub struct NewNotification<'n> {
    pub id: EventId,
    pub user_id: UserId,
    pub kind: &'n str,
    pub order_id: Option<OrderId>,
    pub text: &'n str,
}

/// A notification's place among its user's: when it was told, and its id where that is the same.
pub type Place = (DateTime<Utc>, EventId);

/// Adds a notification; `false` if its event, its order's shipment or its order's end was told before.
pub async fn add(tx: &mut Tx<'_>, new: &NewNotification<'_>) -> Result<bool, DbError> {
    let adding = diesel::insert_into(notifications::table)
        .values(new)
        .on_conflict_do_nothing();
    let added = cached(adding).execute(&mut **tx).await?;
    Ok(added == 1)
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
