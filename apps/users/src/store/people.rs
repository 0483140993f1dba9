use db::{DbError, Tx, lock_class};
use diesel::{prelude::*, sql_query, sql_types::Integer};
use diesel_async::RunQueryDsl;
use kernel::UserId;
use service_kit::Role;

pub use super::person::Person;
use super::{callers::Manager, schema::users};
use crate::domain::{
    email::{Email, TypedEmail},
    status::Status,
};

#[derive(Insertable)]
#[diesel(table_name = users)]
pub struct NewPerson<'p> {
    pub id: UserId,
    /// Prepared, as `email_prepared` is; older rows hold the address as it was written.
    pub email: &'p str,
    pub email_prepared: &'p str,
    pub name: &'p str,
    pub password_hash: &'p str,
    pub role: &'p str,
}

/// Adds a person; `false` if the address is taken.
pub async fn add(tx: &mut Tx<'_>, person: &NewPerson<'_>) -> Result<bool, DbError> {
    let added = diesel::insert_into(users::table)
        .values(person)
        .on_conflict_do_nothing()
        .execute(&mut **tx)
        .await?;
    Ok(added == 1)
}

/// Whether this address is taken, in any spelling.
pub async fn is_taken(tx: &mut Tx<'_>, email: &Email) -> Result<bool, DbError> {
    let has_it = users::email_prepared.eq(email.as_str());
    let taken = users::table.filter(has_it.or(users::email.eq(email.as_str())));
    Ok(diesel::select(diesel::dsl::exists(taken))
        .get_result(&mut **tx)
        .await?)
}

pub async fn by_id(tx: &mut Tx<'_>, id: UserId) -> Result<Option<Person>, DbError> {
    Ok(users::table
        .find(id)
        .select(Person::as_select())
        .first(&mut **tx)
        .await
        .optional()?)
}

/// A person whose row is locked until the transaction ends.
pub async fn locked(tx: &mut Tx<'_>, id: UserId) -> Result<Option<Person>, DbError> {
    let found = users::table
        .find(id)
        .select(Person::as_select())
        .for_update();
    Ok(found.first(&mut **tx).await.optional()?)
}

/// Begins a new generation of a person's tokens, and returns it.
pub async fn next_generation(tx: &mut Tx<'_>, id: UserId) -> Result<i64, DbError> {
    let next = diesel::update(users::table.find(id))
        .set(users::token_generation.eq(users::token_generation + 1))
        .returning(users::token_generation);
    Ok(next.get_result(&mut **tx).await?)
}

/// The person with this address. Two accounts may have spellings of one address, from a release
/// that did not compare spellings: each is found by its own.
pub async fn by_email(tx: &mut Tx<'_>, email: &TypedEmail) -> Result<Option<Person>, DbError> {
    let is_spelt_so = users::email.eq(email.spelling());
    let found = users::table
        .filter(users::email_prepared.eq(email.key()).or(is_spelt_so))
        .order(is_spelt_so.desc())
        .select(Person::as_select());
    Ok(found.first(&mut **tx).await.optional()?)
}

/// Gives a person, whose row is locked, another role.
pub async fn set_role(
    tx: &mut Tx<'_>,
    _: &Manager,
    id: UserId,
    role: Role,
) -> Result<Person, DbError> {
    let changed = diesel::update(users::table.find(id))
        .set((
            users::role.eq(role.as_str()),
            users::version.eq(users::version + 1),
        ))
        .returning(Person::as_returning());
    Ok(changed.get_result(&mut **tx).await?)
}

/// Gives a person, whose row is locked, another status.
pub async fn set_status(
    tx: &mut Tx<'_>,
    _: &Manager,
    id: UserId,
    status: Status,
) -> Result<Person, DbError> {
    let changed = diesel::update(users::table.find(id))
        .set((
            users::status.eq(status.as_str()),
            users::version.eq(users::version + 1),
        ))
        .returning(Person::as_returning());
    Ok(changed.get_result(&mut **tx).await?)
}

/// Changes the name and the password hash of a person, whose row is locked.
pub async fn change(
    tx: &mut Tx<'_>,
    id: UserId,
    name: &str,
    password_hash: &str,
) -> Result<Person, DbError> {
    let new = (
        users::name.eq(name),
        users::password_hash.eq(password_hash),
        users::version.eq(users::version + 1),
    );
    let changed = diesel::update(users::table.find(id))
        .set(new)
        .returning(Person::as_returning());
    Ok(changed.get_result(&mut **tx).await?)
}

/// Replaces a hash by another one of the same password, unless the password was changed meanwhile.
/// The version stays, because nothing visible changes.
pub async fn renew_hash(tx: &mut Tx<'_>, id: UserId, old: &str, new: &str) -> Result<(), DbError> {
    diesel::update(users::table.find(id).filter(users::password_hash.eq(old)))
        .set(users::password_hash.eq(new))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Removes a person, whose row is locked.
pub async fn delete(tx: &mut Tx<'_>, id: UserId) -> Result<(), DbError> {
    let deleted = diesel::delete(users::table.find(id))
        .execute(&mut **tx)
        .await?;
    DbError::expect_rows("deleting a person", 1, deleted)
}

/// Keeps other transactions from making and unmaking managers until this one ends. Returns the
/// active managers, two at most.
pub async fn lock_roles(tx: &mut Tx<'_>) -> Result<Vec<UserId>, DbError> {
    sql_query("SELECT pg_advisory_xact_lock($1, $2)")
        .bind::<Integer, _>(lock_class::USERS)
        .bind::<Integer, _>(2)
        .execute(&mut **tx)
        .await?;
    let managers = users::table
        .filter(users::role.eq(Role::Manager.as_str()))
        .filter(users::status.eq(Status::Active.as_str()));
    Ok(managers.select(users::id).limit(2).load(&mut **tx).await?)
}

pub async fn has_manager(tx: &mut Tx<'_>) -> Result<bool, DbError> {
    let managers = users::table.filter(users::role.eq(Role::Manager.as_str()));
    Ok(diesel::select(diesel::dsl::exists(managers))
        .get_result(&mut **tx)
        .await?)
}
