use std::net::IpAddr;

use db::{DbError, Tx};
use kernel::SessionId;
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;
use utoipa::ToSchema;

use super::issue_token::{Grant, TokenIssuer};
use crate::{
    domain::{refresh_token::RefreshToken, session_life::SessionLife},
    store::{
        people::Person,
        sessions::{self, Session},
    },
};

/// Sessions that one person may have. With one more, the session ends that has not been used for
/// the longest time.
const SESSIONS_MAX: i64 = 20;
/// Characters that are kept of a client's `User-Agent`.
const USER_AGENT_MAX_CHARS: usize = 200;

/// The client of a session, as it is shown to the session's owner.
#[derive(Clone, Debug)]
pub struct Client {
    pub network: Option<IpAddr>,
    pub user_agent: Option<String>,
}

impl Client {
    /// Makes it from the header `User-Agent`, as it was sent.
    pub fn new(network: Option<IpAddr>, user_agent: Option<&str>) -> Self {
        let visible = |text: &str| -> String {
            let kept = text.chars().filter(|c| !c.is_control());
            kept.take(USER_AGENT_MAX_CHARS).collect()
        };
        Self {
            network,
            user_agent: user_agent
                .map(visible)
                .filter(|text| !text.trim().is_empty()),
        }
    }
}

/// The answer to a log-in or a refresh.
#[derive(Serialize, ToSchema)]
pub struct SessionView {
    pub access_token: String,
    #[schema(example = "Bearer")]
    pub token_type: &'static str,
    /// Seconds.
    pub expires_in: i64,
    /// Valid once, for POST /api/sessions/refresh, which returns the next one.
    pub refresh_token: String,
    /// Seconds; each use starts them anew, until the session ends.
    pub refresh_expires_in: i64,
}

#[derive(Debug, thiserror::Error)]
#[error("the system's random generator failed")]
pub struct NoRandom;

pub fn random() -> Result<[u8; 32], NoRandom> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandom)?;
    Ok(bytes)
}

/// Begins a session for a person, whose row is locked.
pub async fn begin_session(
    tx: &mut Tx<'_>,
    person: &Person,
    token: &RefreshToken,
    client: &Client,
    life: SessionLife,
) -> Result<Session, DbError> {
    let (now, hashes) = (tx.now().await?, token.hashes());
    let session = Session {
        id: token.session(),
        user_id: person.id,
        family_hash: hashes.family,
        refresh_hash: hashes.own,
        previous_hash: None,
        salt: None,
        created_at: now,
        authenticated_at: now,
        used_at: now,
        expires_at: life.end(now, now),
        network: client.network.map(|network| network.to_string()),
        user_agent: client.user_agent.clone(),
    };
    sessions::add(tx, &session, SESSIONS_MAX).await?;
    Ok(session)
}

/// The first refresh token of a new session.
pub fn first_token() -> Result<RefreshToken, NoRandom> {
    Ok(RefreshToken::new(SessionId::new(), random()?, random()?))
}

/// The answer that gives the owner the tokens of a session.
pub fn view(
    issuer: &TokenIssuer,
    person: &Person,
    session: &Session,
    token: &RefreshToken,
) -> Result<SessionView, jsonwebtoken::errors::Error> {
    let grant = Grant {
        user_id: person.id,
        role: person.role(),
        session: session.id,
        generation: person.token_generation,
        authenticated_at: session.authenticated_at,
    };
    Ok(SessionView {
        access_token: issuer.issue(&grant)?,
        token_type: "Bearer",
        expires_in: issuer.lifetime(),
        refresh_token: token.text(),
        refresh_expires_in: (session.expires_at - session.used_at).num_seconds(),
    })
}
