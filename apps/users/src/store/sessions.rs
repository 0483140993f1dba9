use chrono::{DateTime, Utc};
use db::{DbError, Tx};
use diesel::{
    dsl::now,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Uuid},
};
use diesel_async::RunQueryDsl;
use kernel::{SessionId, UserId};

use super::schema::sessions;

#[derive(Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = sessions)]
#[diesel(check_for_backend(diesel::pg::Pg))]
pub struct Session {
    pub id: SessionId,
    pub user_id: UserId,
    pub family_hash: Vec<u8>,
    pub refresh_hash: Vec<u8>,
    pub previous_hash: Option<Vec<u8>>,
    pub salt: Option<Vec<u8>>,
    pub created_at: DateTime<Utc>,
    /// Time at which the password was typed.
    pub authenticated_at: DateTime<Utc>,
    /// Time of the last new access token.
    pub used_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub network: Option<String>,
    pub user_agent: Option<String>,
}

/// Adds a session of a person, whose row is locked. Of more than `max` sessions it ends those that
/// have not been used for the longest time.
pub async fn add(tx: &mut Tx<'_>, session: &Session, max: i64) -> Result<(), DbError> {
    sql_query(
        "DELETE FROM sessions WHERE id IN
           (SELECT id FROM sessions WHERE user_id = $1
            ORDER BY used_at DESC, id DESC OFFSET $2 - 1)",
    )
    .bind::<Uuid, _>(session.user_id)
    .bind::<BigInt, _>(max)
    .execute(&mut **tx)
    .await?;
    let added = diesel::insert_into(sessions::table)
        .values(session)
        .execute(&mut **tx)
        .await?;
    DbError::expect_rows("adding a session", 1, added)
}

/// The owner of a session, whether it has ended or not.
pub async fn owner(tx: &mut Tx<'_>, id: SessionId) -> Result<Option<UserId>, DbError> {
    let owner = sessions::table.find(id).select(sessions::user_id);
    Ok(owner.first(&mut **tx).await.optional()?)
}

/// A session that has not expired.
pub async fn live(tx: &mut Tx<'_>, id: SessionId) -> Result<Option<Session>, DbError> {
    let found = sessions::table
        .find(id)
        .filter(sessions::expires_at.gt(now));
    Ok(found
        .select(Session::as_select())
        .first(&mut **tx)
        .await
        .optional()?)
}

/// Saves a session after the use of its refresh token.
pub async fn rotate(tx: &mut Tx<'_>, session: &Session) -> Result<(), DbError> {
    let rotated = diesel::update(sessions::table.find(session.id))
        .set((
            sessions::refresh_hash.eq(&session.refresh_hash),
            sessions::previous_hash.eq(&session.previous_hash),
            sessions::salt.eq(&session.salt),
            sessions::used_at.eq(session.used_at),
            sessions::expires_at.eq(session.expires_at),
            sessions::network.eq(&session.network),
            sessions::user_agent.eq(&session.user_agent),
        ))
        .execute(&mut **tx)
        .await?;
    DbError::expect_rows("using a session's refresh token", 1, rotated)
}

/// Notes that the password was typed in this session.
pub async fn authenticated(tx: &mut Tx<'_>, id: SessionId) -> Result<(), DbError> {
    diesel::update(sessions::table.find(id))
        .set(sessions::authenticated_at.eq(now))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub async fn end(tx: &mut Tx<'_>, id: SessionId) -> Result<(), DbError> {
    diesel::delete(sessions::table.find(id))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Ends all sessions of a person but one, and returns how many.
pub async fn end_others(
    tx: &mut Tx<'_>,
    user_id: UserId,
    but: SessionId,
) -> Result<usize, DbError> {
    let others = sessions::table.filter(sessions::user_id.eq(user_id).and(sessions::id.ne(but)));
    Ok(diesel::delete(others).execute(&mut **tx).await?)
}

pub async fn end_all(tx: &mut Tx<'_>, user_id: UserId) -> Result<(), DbError> {
    diesel::delete(sessions::table.filter(sessions::user_id.eq(user_id)))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Up to `limit` of a person's sessions, the newest first, after the session `after`.
pub async fn of_user(
    tx: &mut Tx<'_>,
    user_id: UserId,
    after: Option<SessionId>,
    limit: i64,
) -> Result<Vec<Session>, DbError> {
    let mut query = sessions::table
        .filter(
            sessions::user_id
                .eq(user_id)
                .and(sessions::expires_at.gt(now)),
        )
        .order(sessions::id.desc())
        .limit(limit)
        .select(Session::as_select())
        .into_boxed();
    if let Some(after) = after {
        query = query.filter(sessions::id.lt(after));
    }
    Ok(query.load(&mut **tx).await?)
}

/// Deletes up to `limit` expired sessions, and returns how many.
pub async fn purge(tx: &mut Tx<'_>, limit: i64) -> Result<usize, DbError> {
    let purged = sql_query(
        "DELETE FROM sessions WHERE id IN (
           SELECT id FROM sessions WHERE expires_at < now()
           ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)",
    )
    .bind::<BigInt, _>(limit)
    .execute(&mut **tx)
    .await?;
    Ok(purged)
}
