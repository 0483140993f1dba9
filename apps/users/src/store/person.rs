use db::UnknownValue;
use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    pg::{Pg, PgValue},
    prelude::*,
    sql_types::Text,
};
use kernel::UserId;
use service_kit::Role;

use super::schema::users;
use crate::domain::status::Status;

/// The row of a person.
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
    /// Generation of their tokens; a token of an earlier one is void.
    pub token_generation: i64,
}

impl Person {
    /// The prepared spelling of their address.
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

/// A role as the table holds it.
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

/// A status as the table holds it.
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
