use db::{Db, DbError, Tx};
use kernel::{Class, Classify, UserId};
use service_kit::Trail;
use tokio_util::sync::CancellationToken;

use super::begin_session::{Client, NoRandom, SessionView, begin_session, first_token, view};
use crate::{
    State,
    domain::{attempts::TooManyAttempts, email::TypedEmail, password::Password, status::Status},
    hashing::{Fit, PasswordError},
    store::{
        login_failures,
        people::{self, Person},
    },
};

pub struct LogIn {
    /// `None` if the caller sent no valid address.
    pub email: Option<TypedEmail>,
    pub password: Password,
    /// The client from which they log in.
    pub client: Client,
    pub trail: Trail,
    /// Cancelled when the client goes away.
    pub client_gone: CancellationToken,
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

/// Begins a session for a caller who knows the password. A wrong address and a wrong password get
/// the same answer after the same time; only a caller who knows the password is told that the
/// account is suspended. Cheap checks come first, so that most refusals cost no hash.
pub async fn log_in(state: State, db: Db, command: LogIn) -> Result<SessionView, LogInError> {
    let email = command.email.as_ref().ok_or(LogInError::Wrong)?;
    let attempt = state.attempts.begin(email.key(), command.client.network)?;
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
            .hasher
            .verify(&command.password, known, &command.client_gone)
            .await?;
        let Some(person) = person.filter(|_| fit != Fit::No) else {
            attempt.failed();
            failed(&db, email.key(), account, command.trail, &LogInError::Wrong).await?;
            return Err(LogInError::Wrong);
        };
        let renewed = match fit {
            // If the hasher is busy, the old hash stays until the next log-in.
            Fit::AsTyped => state
                .hasher
                .hash(&command.password, &command.client_gone)
                .await
                .ok(),
            Fit::Yes | Fit::No => None,
        };
        let (token, proved) = (first_token()?, person.password_hash);
        let trail = command.trail.clone().by(person.id);
        let begun = db
            .transaction("users.logged_in", async |tx| -> Result<_, LogInError> {
                let now = people::locked(tx, person.id).await?;
                // The account was deleted, or has another password than the one that was verified.
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
                    begin_session(tx, &person, &token, &command.client, state.session_life).await?;
                trail.done(tx);
                Ok(Some((person, session)))
            })
            .await?;
        if let Some((person, session)) = begun {
            return Ok(view(&state.issuer, &person, &session, &token)?);
        }
    }
}

/// Failures in a row after which the security log says that a stranger may be guessing the
/// password; it says so again after as many more.
const GUESSES: i32 = 10;

/// Counts a wrong password for this address, and records it in the security log. `account` is
/// `None` if no account has the address.
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
        if failures % GUESSES == 0 {
            trail.guessed(tx, error);
        }
        Ok(())
    })
    .await
}

/// Whether log-ins to this address have failed lately, also if no account has it. An error while
/// the address has to wait because of too many failures.
pub async fn may_try<E>(tx: &mut Tx<'_>, email: &str) -> Result<bool, E>
where
    E: From<DbError> + From<TooManyAttempts>,
{
    match login_failures::wait(tx, email).await? {
        Some(seconds) if seconds > 0 => Err(TooManyAttempts { seconds }.into()),
        failures => Ok(failures.is_some()),
    }
}
