use db::{Db, DbError, Tx};
use kernel::{Class, Classify};
use outbox::PublishError;

use super::{
    begin_session::{Client, NoRandom, SessionView, random, view},
    void_tokens::void_tokens,
};
use crate::{
    State,
    domain::{
        refresh_token::{Kept, Presented, RefreshToken},
        status::Status,
    },
    store::{
        people::{self, Person},
        sessions::{self, Session},
    },
};

pub struct Refresh {
    /// `None` if the caller sent no valid token.
    pub token: Option<RefreshToken>,
    pub client: Client,
}

#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    #[error(
        "the refresh token is not one of ours, or its session has ended; log in again with POST \
         /api/sessions"
    )]
    Invalid,
    #[error(
        "the refresh token was used before, so that another person may have it too: the session \
         is ended; log in again with POST /api/sessions"
    )]
    Reused,
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error("the token cannot be signed")]
    Sign(#[from] jsonwebtoken::errors::Error),
    #[error(transparent)]
    Random(#[from] NoRandom),
}

impl Classify for RefreshError {
    fn class(&self) -> Class {
        match self {
            Self::Invalid | Self::Reused => Class::Unauthenticated,
            Self::Db(error) => error.class(),
            Self::Publish(error) => error.class(),
            Self::Sign(_) | Self::Random(_) => Class::Bug,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Invalid => "refresh_token_invalid",
            Self::Reused => "refresh_token_reused",
            Self::Db(error) => error.code(),
            Self::Publish(error) => error.code(),
            Self::Sign(_) | Self::Random(_) => "internal_error",
        }
    }
}

/// A session that goes on, and its next refresh token.
struct Refreshed {
    person: Person,
    session: Session,
    token: RefreshToken,
}

/// Gives new tokens to a caller who has the session's refresh token, which can be used once. A
/// second use ends the session, in a transaction that commits although the answer is a refusal.
pub async fn refresh_session(
    state: State,
    db: Db,
    command: Refresh,
) -> Result<SessionView, RefreshError> {
    let token = command.token.ok_or(RefreshError::Invalid)?;
    let salt = random()?;
    let refreshed = db
        .transaction("users.refresh_session", async |tx| {
            rotate(tx, &state, &token, &salt, &command.client).await
        })
        .await??;
    Ok(view(
        &state.issuer,
        &refreshed.person,
        &refreshed.session,
        &refreshed.token,
    )?)
}

/// Replaces the refresh token by the next one. After the inner error the transaction commits, after
/// the outer one it does not.
async fn rotate(
    tx: &mut Tx<'_>,
    state: &State,
    token: &RefreshToken,
    salt: &[u8],
    client: &Client,
) -> Result<Result<Refreshed, RefreshError>, RefreshError> {
    // The person's row is locked first: it orders all changes of their sessions.
    let Some(owner) = sessions::owner(tx, token.session()).await? else {
        return Ok(Err(RefreshError::Invalid));
    };
    let person = people::locked(tx, owner).await?;
    let (Some(person), Some(mut session)) = (person, sessions::live(tx, token.session()).await?)
    else {
        return Ok(Err(RefreshError::Invalid));
    };
    let (now, hashes) = (tx.now().await?, token.hashes());
    let presented = hashes.presented_to(&Kept {
        family: &session.family_hash,
        current: &session.refresh_hash,
        previous: session.previous_hash.as_deref(),
        rotated: now - session.used_at,
    });
    let expires_at = state.session_life.end(session.authenticated_at, now);
    let next = match (presented, &session.salt) {
        _ if expires_at <= now || person.status == Status::Suspended => {
            return Ok(Err(RefreshError::Invalid));
        }
        (Presented::Foreign, _) => return Ok(Err(RefreshError::Invalid)),
        (Presented::Again, Some(salt)) => token.next(salt),
        (Presented::Current, _) => {
            let next = token.next(salt);
            session.previous_hash = Some(hashes.own);
            session.refresh_hash = next.hashes().own;
            session.salt = Some(salt.to_vec());
            session.expires_at = expires_at;
            session.used_at = now;
            session.network = client.network.map(|network| network.to_string());
            session.user_agent.clone_from(&client.user_agent);
            sessions::rotate(tx, &session).await?;
            next
        }
        (Presented::Used | Presented::Again, _) => {
            tracing::warn!(
                user = %person.id,
                session = %session.id,
                "a refresh token was used a second time; its session is ended"
            );
            sessions::end(tx, session.id).await?;
            void_tokens::<RefreshError>(tx, person.id).await?;
            return Ok(Err(RefreshError::Reused));
        }
    };
    Ok(Ok(Refreshed {
        person,
        session,
        token: next,
    }))
}
