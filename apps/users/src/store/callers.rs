use db::{DbError, Tx};
use diesel::{
    dsl::{exists, now},
    prelude::*,
};
use diesel_async::RunQueryDsl;
use service_kit::{AuthError, Caller, Role};

use super::{
    person::Person,
    schema::{sessions, users},
};
use crate::domain::status::Status;

/// The row of a caller whose token counts: its session has not ended, its owner is not suspended,
/// and its generation is not void.
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

/// The caller's row in this transaction: their token says only what they were when it was signed.
/// Every use case of a caller begins with this function, or with one of the two below.
pub async fn calling<E>(tx: &mut Tx<'_>, caller: &Caller) -> Result<Person, E>
where
    E: From<DbError> + From<AuthError>,
{
    let found = row_of!(caller).first(&mut **tx).await.optional();
    Ok(found.map_err(DbError::from)?.ok_or(AuthError::Outdated)?)
}

/// The caller's row, locked until the transaction ends. For use cases that change it or its
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

/// Proof that the caller is a manager in this transaction. Only [`calling_manager`] makes it, and
/// the queries that only managers may run require it.
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
