use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use chrono::{DateTime, Utc};
use db::{Db, DbError, Tx};
use diesel::{OptionalExtension, QueryableByName, sql_query, sql_types::Jsonb};
use diesel_async::RunQueryDsl;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use kernel::{Clock, cause_chain};
use tokio::{sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;

use super::VoidTokens;
use crate::{AuthError, Caller, Claims, TokenSettings};

const REFRESH_EVERY: Duration = Duration::from_secs(300);
/// A token with a key nobody knows makes us ask for the keys again, but not more often than this.
const REFRESH_AT_MOST_EVERY: Duration = Duration::from_secs(1);
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
/// How often the token of an answer that goes on is looked at.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Checks access tokens. It keeps the public keys, so that it works while users is down.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    url: String,
    validation: Validation,
    http: reqwest::Client,
    db: Db,
    void: VoidTokens,
    clock: Clock,
    keys: RwLock<HashMap<String, DecodingKey>>,
    last_fetch: Mutex<Option<Instant>>,
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the key set cannot be fetched")]
    Http(#[from] reqwest::Error),
    #[error("the key set cannot be kept")]
    Db(#[from] DbError),
}

#[derive(QueryableByName)]
struct Cached {
    #[diesel(sql_type = Jsonb)]
    jwks: serde_json::Value,
}

impl Tokens {
    /// `url` is where the key set is; see [`TokenSettings`].
    pub fn new(
        settings: &TokenSettings,
        url: String,
        db: Db,
        void: VoidTokens,
        clock: Clock,
    ) -> Result<Self, reqwest::Error> {
        // The algorithm is fixed on both sides: a token cannot choose it (RFC 8725, section 3.1).
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&settings.token_issuer]);
        validation.set_audience(&[&settings.token_audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.leeway = 0;
        let http = reqwest::Client::builder().timeout(FETCH_TIMEOUT).build()?;
        let keys = RwLock::default();
        Ok(Self(Arc::new(Inner {
            url,
            validation,
            http,
            db,
            void,
            clock,
            keys,
            last_fetch: Mutex::default(),
        })))
    }

    /// Takes the keys of the last run, then keeps them fresh until `stop`.
    pub async fn keep_fresh(self, stop: CancellationToken) {
        if let Err(error) = self.load_cached().await {
            tracing::warn!(error = cause_chain(&error), "no token keys from the last run");
        }
        let mut wait = Duration::ZERO;
        while stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
            wait = match self.fetch().await {
                Ok(()) => REFRESH_EVERY,
                Err(error) => {
                    tracing::debug!(
                        error = cause_chain(&error),
                        url = self.0.url,
                        "token keys not fetched"
                    );
                    Duration::from_millis(500)
                }
            };
        }
    }

    /// Who sent this token.
    pub async fn verify(&self, token: &str) -> Result<Caller, AuthError> {
        let header = decode_header(token).map_err(|_| AuthError::Invalid)?;
        let kid = header.kid.ok_or(AuthError::Invalid)?;
        let key = match self.key(&kid) {
            Some(key) => key,
            None => self.ask_for(&kid).await?,
        };
        let claims = decode::<Claims>(token, &key, &self.0.validation)
            .map_err(|_| AuthError::Invalid)?
            .claims;
        let caller = claims.caller()?;
        if self.is_void(&caller) {
            return Err(AuthError::Outdated);
        }
        Ok(caller)
    }

    /// Waits until the caller's token has expired, or does not count any more.
    pub async fn over(&self, caller: &Caller) {
        while !caller.is_over(self.now()) && !self.is_void(caller) {
            tokio::time::sleep(WATCH_EVERY).await;
        }
    }

    /// By the clock of this process.
    pub fn now(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }

    fn is_void(&self, caller: &Caller) -> bool {
        self.0.void.has(caller.user_id, caller.generation)
    }

    fn key(&self, kid: &str) -> Option<DecodingKey> {
        self.0
            .keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(kid)
            .cloned()
    }

    /// A key that is not known may be a new one.
    async fn ask_for(&self, kid: &str) -> Result<DecodingKey, AuthError> {
        let mut last_fetch = self.0.last_fetch.lock().await;
        if let Some(key) = self.key(kid) {
            return Ok(key);
        }
        if last_fetch.is_none_or(|at| at.elapsed() >= REFRESH_AT_MOST_EVERY) {
            let fetched = self.fetch().await;
            *last_fetch = Some(Instant::now());
            if let Err(error) = fetched {
                tracing::warn!(
                    error = cause_chain(&error),
                    url = self.0.url,
                    "token keys not fetched"
                );
            }
        }
        let none_at_all = self
            .0
            .keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty();
        self.key(kid).ok_or(if none_at_all {
            AuthError::NoKeys
        } else {
            AuthError::Invalid
        })
    }

    async fn fetch(&self) -> Result<(), FetchError> {
        let response = self.0.http.get(&self.0.url).send().await?.error_for_status()?;
        let jwks: JwkSet = response.json().await?;
        self.take(&jwks);
        let json = serde_json::to_value(&jwks).expect("a key set was JSON a moment ago");
        let kept = self
            .0
            .db
            .transaction("kit.cache_token_keys", async move |tx| store(tx, json).await)
            .await;
        Ok(kept?)
    }

    async fn load_cached(&self) -> Result<(), DbError> {
        let cached = self
            .0
            .db
            .transaction("kit.cached_token_keys", async |tx| load(tx).await)
            .await?;
        if let Some(jwks) = cached.and_then(|cached| serde_json::from_value::<JwkSet>(cached.jwks).ok()) {
            self.take(&jwks);
        }
        Ok(())
    }

    fn take(&self, jwks: &JwkSet) {
        let keys = jwks.keys.iter().filter_map(|jwk| {
            let kid = jwk.common.key_id.clone()?;
            DecodingKey::from_jwk(jwk).ok().map(|key| (kid, key))
        });
        let keys: HashMap<_, _> = keys.collect();
        if !keys.is_empty() {
            *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        }
    }
}

async fn load(tx: &mut Tx<'_>) -> Result<Option<Cached>, DbError> {
    Ok(sql_query("SELECT jwks FROM token_key_cache")
        .get_result(&mut **tx)
        .await
        .optional()?)
}

async fn store(tx: &mut Tx<'_>, jwks: serde_json::Value) -> Result<(), DbError> {
    let stored = sql_query(
        "INSERT INTO token_key_cache (jwks) VALUES ($1)
         ON CONFLICT (singleton) DO UPDATE SET jwks = excluded.jwks, fetched_at = now()",
    )
    .bind::<Jsonb, _>(jwks)
    .execute(&mut **tx)
    .await?;
    DbError::expect_rows("caching the token keys", 1, stored)
}
