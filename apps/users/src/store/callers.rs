use db::{DbError, Tx};
use diesel::{
    dsl::{exists, now},
    prelude::*,
};
use diesel_async::RunQueryDsl;
use service_kit::{AuthError, Caller, Role};

use super::{
    people::Person,
    schema::{sessions, users},
};
use crate::domain::status::Status;

/// The row of a caller whose token counts: its session is there, they are not suspended, and it is
/// of no generation before theirs.
macro_rules! row_of {
    ($caller:expr) => {{
        let session = sessions::table
            .find($caller.session)
            .filter(sessions::user_id.eq($caller.user_id))
            .filter(sessions::expires_at.gt(now));
        users::table
            .find($caller.user_id)
            .filter(users::status.eq(Status::Active.as_str()))
            .filter(users::token_generation.le($caller.generation))
            .filter(exists(session))
            .select(Person::as_select())
    }};
}

/// Who calls, by their row in this transaction: a token only says what they were when it was made.
/// Every use case of one who is logged in begins with this, or with one of the two that follow.
pub async fn calling<E>(tx: &mut Tx<'_>, caller: &Caller) -> Result<Person, E>
where
    E: From<DbError> + From<AuthError>,
{
    let found = row_of!(caller).first(&mut **tx).await.optional();
    Ok(found.map_err(DbError::from)?.ok_or(AuthError::Outdated)?)
}

/// The same, with their row locked until the transaction ends, for who changes it or their
/// sessions.
pub async fn calling_locked<E>(tx: &mut Tx<'_>, caller: &Caller) -> Result<Person, E>
where
    E: From<DbError> + From<AuthError>,
{
    let found = row_of!(caller)
        .for_update()
        .first(&mut **tx)
        .await
        .optional();
    Ok(found.map_err(DbError::from)?.ok_or(AuthError::Outdated)?)
}

/// A manager at this moment. What only managers do asks for it, and it cannot be had in any other
/// way.
pub struct Manager(());

/// The caller, if they are a manager.
pub async fn calling_manager<E>(tx: &mut Tx<'_>, caller: &Caller) -> Result<Manager, E>
where
    E: From<DbError> + From<AuthError>,
{
    let person = calling::<E>(tx, caller).await?;
    let role = person.role();
    Caller { role, ..*caller }.require(&[Role::Manager])?;
    Ok(Manager(()))
}
