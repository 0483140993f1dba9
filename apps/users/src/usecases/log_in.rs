use db::{Db, DbError, Tx};
use kernel::{Class, Classify, UserId};
use service_kit::Trail;
use tokio_util::sync::CancellationToken;

use super::begin_session::{NoRandom, Place, SessionView, begin_session, first_token, view};
use crate::{
    State,
    domain::{
        email::TypedEmail,
        password::Password,
        passwords::{Fit, PasswordError},
        status::Status,
        turns::TooManyAttempts,
    },
    store::{
        login_failures,
        people::{self, Person},
    },
};

pub struct LogIn {
    /// `None` if what was sent is no address.
    pub email: Option<TypedEmail>,
    pub password: Password,
    /// Where they call from.
    pub place: Place,
    pub trail: Trail,
    /// Cancelled when they are gone.
    pub left: CancellationToken,
}

#[derive(Debug, thiserror::Error)]
pub enum LogInError {
    #[error("the e-mail address or the password is wrong")]
    Wrong,
    #[error("this account is suspended; ask the store why")]
    Suspended,
    #[error(transparent)]
    TooMany(#[from] TooManyAttempts),
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("the token cannot be signed")]
    Sign(#[from] jsonwebtoken::errors::Error),
    #[error(transparent)]
    Random(#[from] NoRandom),
}

impl Classify for LogInError {
    fn class(&self) -> Class {
        match self {
            Self::Wrong => Class::Unauthenticated,
            Self::Suspended => Class::Denied,
            Self::TooMany(error) => error.class(),
            Self::Db(error) => error.class(),
            Self::Password(error) => error.class(),
            Self::Sign(_) | Self::Random(_) => Class::Bug,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Wrong => "wrong_credentials",
            Self::Suspended => "account_suspended",
            Self::TooMany(error) => error.code(),
            Self::Db(error) => error.code(),
            Self::Password(error) => error.code(),
            Self::Sign(_) | Self::Random(_) => "internal_error",
        }
    }
    fn retry_after(&self) -> Option<u32> {
        match self {
            Self::TooMany(error) => error.retry_after(),
            Self::Db(error) => error.retry_after(),
            Self::Password(error) => error.retry_after(),
            Self::Wrong | Self::Suspended | Self::Sign(_) | Self::Random(_) => None,
        }
    }
}

/// A session for who knows the password. Says the same, after the same time, whether the address or
/// the password is wrong; that an account is suspended, only to who knows its password. What is
/// cheap is looked at first: most of what is refused costs no hash.
pub async fn log_in(state: State, db: Db, who: LogIn) -> Result<SessionView, LogInError> {
    let email = who.email.as_ref().ok_or(LogInError::Wrong)?;
    let turn = state.turns.take(email.key(), who.place.network)?;
    loop {
        let (has_failed, person) = db
            .transaction(
                "users.log_in",
                async |tx| -> Result<(bool, Option<Person>), LogInError> {
                    Ok((
                        may_try::<LogInError>(tx, email.key()).await?,
                        people::by_email(tx, email).await?,
                    ))
                },
            )
            .await?;
        let known = person.as_ref().map(|person| person.password_hash.clone());
        let account = person.as_ref().map(|person| person.id);
        let fit = state
            .passwords
            .verify(&who.password, known, &who.left)
            .await?;
        let Some(person) = person.filter(|_| fit != Fit::No) else {
            turn.failed();
            failed(&db, email.key(), account, who.trail, &LogInError::Wrong).await?;
            return Err(LogInError::Wrong);
        };
        let renewed = match fit {
            // Who cannot be served now keeps the hash until they come back.
            Fit::AsTyped => state.passwords.hash(&who.password, &who.left).await.ok(),
            Fit::Yes | Fit::No => None,
        };
        let (token, proved) = (first_token()?, person.password_hash);
        let trail = who.trail.clone().by(person.id);
        let begun = db
            .transaction("users.logged_in", async |tx| -> Result<_, LogInError> {
                let now = people::locked(tx, person.id).await?;
                // They have left, or have another password than the one that was proved.
                let Some(person) = now.filter(|person| person.password_hash == proved) else {
                    return Ok(None);
                };
                if person.status == Status::Suspended {
                    return Err(LogInError::Suspended);
                }
                if let Some(renewed) = &renewed {
                    people::renew_hash(tx, person.id, &proved, renewed).await?;
                }
                if has_failed {
                    login_failures::forget(tx, email.key()).await?;
                }
                let session =
                    begin_session(tx, &person, &token, &who.place, state.session_life).await?;
                trail.done(tx);
                Ok(Some((person, session)))
            })
            .await?;
        if let Some((person, session)) = begun {
            return Ok(view(&state.issuer, &person, &session, &token)?);
        }
    }
}

/// After so many failures in a row, and each time after as many more, a password may be being
/// guessed.
const GUESSED: i32 = 10;

/// Counts that a password of the account with this address was wrong, and tells of it; `account` is
/// `None` if there is none.
pub async fn failed(
    db: &Db,
    email: &str,
    account: Option<UserId>,
    trail: Trail,
    error: &impl Classify,
) -> Result<(), DbError> {
    let trail = match account {
        Some(id) => trail.about(id),
        None => trail,
    };
    db.transaction("users.log_in_failed", async |tx| -> Result<(), DbError> {
        let failures = login_failures::add(tx, email).await?;
        trail.refused(tx, error);
        if failures % GUESSED == 0 {
            trail.guessed(tx, error);
        }
        Ok(())
    })
    .await
}

/// Whether log-ins to an account have failed, be there one or not; an error while it waits for so
/// many.
pub async fn may_try<E>(tx: &mut Tx<'_>, email: &str) -> Result<bool, E>
where
    E: From<DbError> + From<TooManyAttempts>,
{
    match login_failures::wait(tx, email).await? {
        Some(seconds) if seconds > 0 => Err(TooManyAttempts { seconds }.into()),
        failures => Ok(failures.is_some()),
    }
}
