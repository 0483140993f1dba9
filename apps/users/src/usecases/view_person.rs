use db::{DbError, Tx};
use kernel::{Class, Classify, UserId};
use serde::Serialize;
use service_kit::{Answer, AuthError, Caller, Role};
use utoipa::ToSchema;

use crate::{
    State,
    domain::status::Status,
    store::{
        callers::{calling, calling_manager},
        people::{self, Person},
    },
};

/// A person, as they themselves and managers see them.
#[derive(Debug, Serialize, ToSchema)]
pub struct PersonView {
    pub id: UserId,
    pub email: String,
    pub name: String,
    pub role: Role,
    /// A suspended person cannot log in.
    pub status: Status,
    /// For the ETag.
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
    Auth(#[from] AuthError),
    #[error(transparent)]
    Db(#[from] DbError),
}

impl Classify for PersonNotThere {
    fn class(&self) -> Class {
        match self {
            Self::Unknown => Class::NotFound,
            Self::Auth(error) => error.class(),
            Self::Db(error) => error.class(),
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown_user",
            Self::Auth(error) => error.code(),
            Self::Db(error) => error.code(),
        }
    }
}

impl From<Person> for PersonView {
    fn from(person: Person) -> Self {
        let role = person.role();
        Self {
            id: person.id,
            email: person.email,
            name: person.name,
            role,
            status: person.status,
            version: person.version,
        }
    }
}

/// Returns the caller.
pub async fn view_me(
    tx: &mut Tx<'_>,
    _: &State,
    caller: &Caller,
) -> Result<PersonView, PersonNotThere> {
    let person: Person = calling::<PersonNotThere>(tx, caller).await?;
    Ok(person.into())
}

pub struct ViewPerson {
    pub caller: Caller,
    pub user_id: UserId,
}

/// Returns any person, for managers.
pub async fn view_person(
    tx: &mut Tx<'_>,
    _: &State,
    command: &ViewPerson,
) -> Result<PersonView, PersonNotThere> {
    calling_manager::<PersonNotThere>(tx, &command.caller).await?;
    let person = people::by_id(tx, command.user_id).await?;
    Ok(person.ok_or(PersonNotThere::Unknown)?.into())
}
