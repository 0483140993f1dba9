use db::{DbError, Tx};
use kernel::{Class, Classify, UserId};
use serde::Serialize;
use service_kit::{Answer, Role};
use utoipa::ToSchema;

use crate::{State, store::people};

/// A person as they and managers see them.
#[derive(Debug, Serialize, ToSchema)]
pub struct PersonView {
    pub id: UserId,
    pub email: String,
    pub name: String,
    pub role: Role,
    /// In the ETag.
    #[serde(skip)]
    pub version: i64,
}

impl PersonView {
    /// 200 with the version as ETag.
    pub fn answer(&self) -> Answer {
        Answer::ok(self).etag(self.version)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum PersonNotThere {
    #[error("there is no such user")]
    Unknown,
    #[error(transparent)]
    Db(#[from] DbError),
}

impl Classify for PersonNotThere {
    fn class(&self) -> Class {
        match self {
            Self::Unknown => Class::NotFound,
            Self::Db(error) => error.class(),
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown_user",
            Self::Db(error) => error.code(),
        }
    }
}

impl From<people::Person> for PersonView {
    fn from(person: people::Person) -> Self {
        let role = person.role();
        Self {
            id: person.id,
            email: person.email,
            name: person.name,
            role,
            version: person.version,
        }
    }
}

pub async fn view_person(tx: &mut Tx<'_>, _: &State, id: &UserId) -> Result<PersonView, PersonNotThere> {
    Ok(people::by_id(tx, *id)
        .await?
        .ok_or(PersonNotThere::Unknown)?
        .into())
}
