use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use chrono::{DateTime, Utc};
use db::{Db, DbError, Tx};
use diesel::{
    OptionalExtension, QueryableByName, sql_query,
    sql_types::{Double, Jsonb},
};
use diesel_async::RunQueryDsl;
use https::HttpsError;
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header, get_current_timestamp, jwk::JwkSet,
};
use kernel::{Clock, cause_chain};
use reqwest::{StatusCode, Url, redirect};
use telemetry::ReadingAge;
use tokio::{sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;

use super::VoidTokens;
use crate::{AuthError, Caller, Claims, TokenSettings};

/// Interval between two fetches of the keys at least. A token with an unknown key causes a fetch,
/// so that a flood of such tokens must not become a flood of fetches.
const FETCH_INTERVAL_MIN: Duration = Duration::from_secs(1);
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
/// Size of a key set at most: a few hundred keys.
const KEY_SET_MAX_BYTES: usize = 64 * 1024;
/// Seconds by which the signer's clock may be ahead of the verifier's.
const CLOCK_SKEW_MAX_SECONDS: i64 = 60;
/// Interval at which the token of a streaming answer is checked.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// The token keys of the service that makes them, as a JSON Web Key Set.
pub type OwnKeys = Arc<dyn Fn() -> Arc<serde_json::Value> + Send + Sync>;

/// Verifies access tokens. It keeps the public keys, so that it works while the service users is
/// down, until the keys are too old to be believed.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    source: Source,
    refresh_every: Duration,
    believed_for: Duration,
    /// Lifetime of a token at most.
    lifetime_max_seconds: i64,
    validation: Validation,
    db: Db,
    void: VoidTokens,
    clock: Clock,
    keys: RwLock<HashMap<String, DecodingKey>>,
    /// Age of the keys.
    age: ReadingAge,
    last_fetch: Mutex<Option<Instant>>,
}

/// The source of the public keys.
enum Source {
    Own(OwnKeys),
    Users { url: Url, http: reqwest::Client },
}

/// Settings with which no token could be verified.
#[derive(Debug, thiserror::Error)]
pub enum TokenSettingsError {
    #[error(
        "JWKS_URL is missing: set it to where users shows its token keys, such as \
         https://users:8443/.well-known/jwks.json"
    )]
    UrlMissing,
    #[error("JWKS_URL is {0}: it begins with https:// or http://")]
    Scheme(Url),
    #[error(
        "JWKS_URL is {0}: set JWKS_CA to a PEM file of the authorities that may vouch for this host"
    )]
    CaMissing(Url),
    #[error("JWKS_CA is set, but JWKS_URL asks for no TLS: {0} should begin with https://")]
    CaUnused(Url),
    #[error("JWKS_CA cannot be used")]
    Ca(#[source] HttpsError),
    #[error("no client for JWKS_URL can be made")]
    Client(#[from] reqwest::Error),
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the key set cannot be fetched")]
    Http(#[from] reqwest::Error),
    #[error("the answer is {0}, not a key set")]
    Status(StatusCode),
    #[error("the answer has more than {KEY_SET_MAX_BYTES} bytes")]
    TooLarge,
    #[error("the answer is no key set")]
    Unreadable(#[from] serde_json::Error),
    #[error("the key set has no key that can be used")]
    Unusable,
    #[error("the key set cannot be kept")]
    Db(#[from] DbError),
}

#[derive(QueryableByName)]
struct Cached {
    #[diesel(sql_type = Jsonb)]
    jwks: serde_json::Value,
    /// Seconds.
    #[diesel(sql_type = Double)]
    age: f64,
}

impl Tokens {
    /// Verifies by the service's own keys, or by those at the address in [`TokenSettings`]. `age`
    /// shows how old they are.
    pub fn new(
        settings: &TokenSettings,
        own: Option<OwnKeys>,
        db: Db,
        age: ReadingAge,
        void: VoidTokens,
        clock: Clock,
    ) -> Result<Self, TokenSettingsError> {
        // The algorithm is fixed on both sides: a token cannot choose it (RFC 8725, section 3.1).
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&settings.token_issuer]);
        validation.set_audience(&[&settings.token_audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.leeway = 0;
        let (source, refresh_every) = match own {
            Some(own) => (Source::Own(own), FETCH_INTERVAL_MIN),
            None => (
                Source::users(settings)?,
                Duration::from_secs(settings.jwks_refresh_seconds),
            ),
        };
        Ok(Self(Arc::new(Inner {
            source,
            refresh_every,
            believed_for: Duration::from_secs(settings.jwks_age_hours * 3600),
            lifetime_max_seconds: settings.token_most_seconds,
            validation,
            db,
            void,
            clock,
            keys: RwLock::default(),
            age,
            last_fetch: Mutex::default(),
        })))
    }

    /// Loads the keys of the last run, then fetches them at an interval until `stop`.
    pub async fn keep_fresh(self, stop: CancellationToken) {
        if let Err(error) = self.load_cached().await {
            tracing::warn!(
                error = cause_chain(&error),
                "no token keys from the last run"
            );
        }
        let mut wait = Duration::ZERO;
        while stop
            .run_until_cancelled(tokio::time::sleep(wait))
            .await
            .is_some()
        {
            wait = match self.fetch().await {
                Ok(()) => self.0.refresh_every,
                Err(error) => {
                    tracing::debug!(
                        error = cause_chain(&error),
                        from = %self.0.source,
                        "token keys not fetched"
                    );
                    Duration::from_millis(500)
                }
            };
        }
    }

    /// The caller who sent this token.
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
        let now = i64::try_from(get_current_timestamp()).unwrap_or(i64::MAX);
        self.is_of_its_time(&claims, now)?;
        let caller = claims.caller()?;
        if self.is_void(&caller) {
            return Err(AuthError::Outdated);
        }
        Ok(caller)
    }

    /// Waits until the caller's token has expired, or does not count any more.
    pub async fn over(&self, caller: &Caller) {
        while !caller.is_over(self.now()) && !self.is_void(caller) {
            tokio::time::sleep(WATCH_INTERVAL).await;
        }
    }

    /// The time by the clock of this process.
    pub fn now(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }

    fn is_void(&self, caller: &Caller) -> bool {
        self.0.void.has(caller.user_id, caller.generation)
    }

    /// Refuses a token from the future, and one whose lifetime is longer than the settings allow,
    /// so that a stolen key cannot sign tokens that stay valid for years.
    fn is_of_its_time(&self, claims: &Claims, now: i64) -> Result<(), AuthError> {
        let latest = now.saturating_add(CLOCK_SKEW_MAX_SECONDS);
        let lifetime_max = self.0.lifetime_max_seconds;
        let lifetime_max = lifetime_max.saturating_add(CLOCK_SKEW_MAX_SECONDS);
        if claims.iat > latest || claims.exp.saturating_sub(claims.iat) > lifetime_max {
            return Err(AuthError::Invalid);
        }
        Ok(())
    }

    /// Fails while no caller can be verified, because the keys are too old to be believed.
    pub fn check(&self) -> Result<(), String> {
        let age = self.0.age.age();
        if self.0.read_keys().is_empty() || age <= self.0.believed_for {
            return Ok(());
        }
        Err(format!(
            "the token keys are {} h old, and believed for {} h: {} cannot be reached",
            age.as_secs() / 3600,
            self.0.believed_for.as_secs() / 3600,
            self.0.source
        ))
    }

    /// A key that is known, and not for too long.
    fn key(&self, kid: &str) -> Option<DecodingKey> {
        if self.0.age.age() > self.0.believed_for {
            return None;
        }
        self.0.read_keys().get(kid).cloned()
    }

    /// A key that is not known may be a new one.
    async fn ask_for(&self, kid: &str) -> Result<DecodingKey, AuthError> {
        let mut last_fetch = self.0.last_fetch.lock().await;
        if let Some(key) = self.key(kid) {
            return Ok(key);
        }
        if last_fetch.is_none_or(|at| at.elapsed() >= FETCH_INTERVAL_MIN) {
            let fetched = self.fetch().await;
            *last_fetch = Some(Instant::now());
            if let Err(error) = fetched {
                tracing::warn!(
                    error = cause_chain(&error),
                    from = %self.0.source,
                    "token keys not fetched"
                );
            }
        }
        let none_to_believe = self.0.read_keys().is_empty() || self.check().is_err();
        self.key(kid).ok_or(if none_to_believe {
            AuthError::NoKeys
        } else {
            AuthError::Invalid
        })
    }

    async fn fetch(&self) -> Result<(), FetchError> {
        let (url, http) = match &self.0.source {
            Source::Own(own) => {
                return self.take(&serde_json::from_value((*own()).clone())?, Duration::ZERO);
            }
            Source::Users { url, http } => (url, http),
        };
        let mut response = http.get(url.clone()).send().await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if text.len() + chunk.len() > KEY_SET_MAX_BYTES {
                return Err(FetchError::TooLarge);
            }
            text.extend_from_slice(&chunk);
        }
        let jwks: JwkSet = serde_json::from_slice(&text)?;
        self.take(&jwks, Duration::ZERO)?;
        let json = serde_json::to_value(&jwks)?;
        let kept = self
            .0
            .db
            .transaction("kit.cache_token_keys", async move |tx| {
                store(tx, json).await
            })
            .await;
        Ok(kept?)
    }

    async fn load_cached(&self) -> Result<(), FetchError> {
        if matches!(self.0.source, Source::Own(_)) {
            return Ok(());
        }
        let cached = self
            .0
            .db
            .transaction("kit.cached_token_keys", async |tx| load(tx).await)
            .await?;
        let Some(Cached { jwks, age }) = cached else {
            return Ok(());
        };
        // The age is negative if the clock was put back.
        let age = Duration::try_from_secs_f64(age.max(0.0)).unwrap_or(Duration::MAX / 2);
        self.take(&serde_json::from_value(jwks)?, age)
    }

    /// Replaces the keys by these, which were fetched so long ago.
    fn take(&self, jwks: &JwkSet, ago: Duration) -> Result<(), FetchError> {
        let keys = jwks.keys.iter().filter_map(|jwk| {
            let kid = jwk.common.key_id.clone()?;
            DecodingKey::from_jwk(jwk).ok().map(|key| (kid, key))
        });
        let keys: HashMap<_, _> = keys.collect();
        if keys.is_empty() {
            return Err(FetchError::Unusable);
        }
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        self.0.age.renew_as_of(ago);
        Ok(())
    }
}

impl Inner {
    fn read_keys(&self) -> RwLockReadGuard<'_, HashMap<String, DecodingKey>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    fn users(settings: &TokenSettings) -> Result<Self, TokenSettingsError> {
        use TokenSettingsError::{Ca, CaMissing, CaUnused, Scheme, UrlMissing};
        let url = settings.jwks_url.clone().ok_or(UrlMissing)?;
        // No redirects: keys come from the address in the settings only.
        let client = reqwest::Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(redirect::Policy::none());
        let client = match (url.scheme(), settings.jwks_ca.as_deref()) {
            ("https", Some(ca)) => client.use_preconfigured_tls(https::client(ca).map_err(Ca)?),
            ("https", None) => return Err(CaMissing(url)),
            ("http", None) => client,
            ("http", Some(_)) => return Err(CaUnused(url)),
            _ => return Err(Scheme(url)),
        };
        let http = client.build()?;
        Ok(Self::Users { url, http })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(_) => f.write_str("this service itself"),
            Self::Users { url, .. } => write!(f, "{url}"),
        }
    }
}

async fn load(tx: &mut Tx<'_>) -> Result<Option<Cached>, DbError> {
    Ok(sql_query(
        "SELECT jwks, extract(epoch FROM now() - fetched_at)::float8 AS age FROM token_key_cache",
    )
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
