use db::{DbError, Tx, UnknownValue, lock_class};
use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    pg::{Pg, PgValue},
    prelude::*,
    sql_query,
    sql_types::{Integer, Text},
};
use diesel_async::RunQueryDsl;
use kernel::UserId;
use service_kit::Role;

use super::{callers::Manager, schema::users};
use crate::domain::{
    email::{Email, TypedEmail},
    status::Status,
};

#[derive(Queryable, Selectable)]
#[diesel(table_name = users)]
#[diesel(check_for_backend(diesel::pg::Pg))]
pub struct Person {
    pub id: UserId,
    pub email: String,
    pub name: String,
    pub password_hash: String,
    #[diesel(deserialize_as = StoredRole)]
    pub role: Role,
    pub version: i64,
    /// `None` until it is prepared.
    pub email_prepared: Option<String>,
    #[diesel(deserialize_as = StoredStatus)]
    pub status: Status,
    /// Of tokens; those of an earlier one do not count.
    pub token_generation: i64,
}

impl Person {
    /// The one spelling of their address.
    pub fn address(&self) -> &str {
        let prepared = self
            .email_prepared
            .as_deref()
            .filter(|prepared| prepared.contains('@'));
        prepared.unwrap_or(&self.email)
    }

    pub fn role(&self) -> Role {
        self.role
    }
}

/// A role as it lies in the table.
#[derive(FromSqlRow)]
pub struct StoredRole(String);

impl FromSql<Text, Pg> for StoredRole {
    fn from_sql(bytes: PgValue<'_>) -> deserialize::Result<Self> {
        <String as FromSql<Text, Pg>>::from_sql(bytes).map(Self)
    }
}

impl TryFrom<StoredRole> for Role {
    type Error = UnknownValue;
    fn try_from(StoredRole(role): StoredRole) -> Result<Self, UnknownValue> {
        UnknownValue::or(role.parse().ok(), "the role of a person", role)
    }
}

/// A status as it lies in the table.
#[derive(FromSqlRow)]
pub struct StoredStatus(String);

impl FromSql<Text, Pg> for StoredStatus {
    fn from_sql(bytes: PgValue<'_>) -> deserialize::Result<Self> {
        <String as FromSql<Text, Pg>>::from_sql(bytes).map(Self)
    }
}

impl TryFrom<StoredStatus> for Status {
    type Error = UnknownValue;
    fn try_from(StoredStatus(status): StoredStatus) -> Result<Self, UnknownValue> {
        UnknownValue::or(status.parse().ok(), "the status of a person", status)
    }
}

#[derive(Insertable)]
#[diesel(table_name = users)]
pub struct NewPerson<'p> {
    pub id: UserId,
    /// Prepared, as `email_prepared` is: older rows have it as it was written.
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

/// Begins a new generation of a person's tokens, and says which.
pub async fn next_generation(tx: &mut Tx<'_>, id: UserId) -> Result<i64, DbError> {
    let next = diesel::update(users::table.find(id))
        .set(users::token_generation.eq(users::token_generation + 1))
        .returning(users::token_generation);
    Ok(next.get_result(&mut **tx).await?)
}

/// Whose address this is. Where two have spellings of one address, from before they were compared,
/// each is found by their own.
pub async fn by_email(tx: &mut Tx<'_>, email: &TypedEmail) -> Result<Option<Person>, DbError> {
    let is_spelt_so = users::email.eq(email.spelling());
    let found = users::table
        .filter(users::email_prepared.eq(email.key()).or(is_spelt_so))
        .order(is_spelt_so.desc())
        .select(Person::as_select());
    Ok(found.first(&mut **tx).await.optional()?)
}

/// Gives a person who is locked another role.
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

/// Gives a person who is locked another status.
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

/// Changes a person who is locked.
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

/// Replaces a hash by another one of the same password, unless there is a new password by now.
/// Nothing that shows is changed.
pub async fn renew_hash(tx: &mut Tx<'_>, id: UserId, old: &str, new: &str) -> Result<(), DbError> {
    diesel::update(users::table.find(id).filter(users::password_hash.eq(old)))
        .set(users::password_hash.eq(new))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Removes a person who is locked.
pub async fn delete(tx: &mut Tx<'_>, id: UserId) -> Result<(), DbError> {
    let deleted = diesel::delete(users::table.find(id))
        .execute(&mut **tx)
        .await?;
    DbError::expect_rows("deleting a person", 1, deleted)
}

/// Keeps others from making and unmaking managers until the transaction ends; those who can act as
/// one, as far as two.
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
