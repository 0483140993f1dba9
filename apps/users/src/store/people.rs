use db::{DbError, Tx};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use kernel::UserId;
use service_kit::Role;

use super::schema::users;
use crate::domain::person::Email;

#[derive(Queryable, Selectable)]
#[diesel(table_name = users)]
#[diesel(check_for_backend(diesel::pg::Pg))]
pub struct Person {
    pub id: UserId,
    pub email: String,
    pub name: String,
    pub password_hash: String,
    pub role: String,
    pub version: i64,
}

impl Person {
    /// The role, of which the table's CHECK allows only those we know.
    pub fn role(&self) -> Role {
        self.role.parse().expect("the table holds known roles only")
    }
}

#[derive(Insertable)]
#[diesel(table_name = users)]
pub struct NewPerson<'p> {
    pub id: UserId,
    pub email: &'p str,
    pub name: &'p str,
    pub password_hash: &'p str,
    pub role: &'p str,
}

/// Adds a person; `false` if the address is taken.
pub async fn add(tx: &mut Tx<'_>, person: &NewPerson<'_>) -> Result<bool, DbError> {
    let added = diesel::insert_into(users::table)
        .values(person)
        .on_conflict(users::email)
        .do_nothing()
        .execute(&mut **tx)
        .await?;
    Ok(added == 1)
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
    let found = users::table.find(id).select(Person::as_select()).for_update();
    Ok(found.first(&mut **tx).await.optional()?)
}

pub async fn by_email(tx: &mut Tx<'_>, email: &Email) -> Result<Option<Person>, DbError> {
    let found = users::table
        .filter(users::email.eq(email.as_str()))
        .select(Person::as_select());
    Ok(found.first(&mut **tx).await.optional()?)
}

/// Gives a person another role; `None` if there is no such person.
pub async fn set_role(tx: &mut Tx<'_>, id: UserId, role: Role) -> Result<Option<Person>, DbError> {
    let changed = diesel::update(users::table.find(id))
        .set((
            users::role.eq(role.as_str()),
            users::version.eq(users::version + 1),
        ))
        .returning(Person::as_returning());
    Ok(changed.get_result(&mut **tx).await.optional()?)
}

/// Changes a person who is locked.
pub async fn change(tx: &mut Tx<'_>, id: UserId, name: &str, password_hash: &str) -> Result<Person, DbError> {
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

/// Removes a person; their address, or `None` if there is no such person.
pub async fn delete(tx: &mut Tx<'_>, id: UserId) -> Result<Option<String>, DbError> {
    let deleted = diesel::delete(users::table.find(id)).returning(users::email);
    Ok(deleted.get_result(&mut **tx).await.optional()?)
}

pub async fn has_manager(tx: &mut Tx<'_>) -> Result<bool, DbError> {
    let managers = users::table.filter(users::role.eq(Role::Manager.as_str()));
    Ok(diesel::select(diesel::dsl::exists(managers))
        .get_result(&mut **tx)
        .await?)
}
