use std::sync::{Arc, PoisonError, RwLock};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use db::{Db, DbError};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use kernel::{Clock, SessionId, UserId, cause_chain};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde_json::json;
use service_kit::{Claims, Role, TokenSettings};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::key_ring::{KeyPolicy, plan},
    store::token_keys::{self, TokenKey},
};

/// Signs access tokens with Ed25519 (RFC 8037), and shows the keys that verify them.
pub struct TokenIssuer {
    keys: RwLock<Arc<Keys>>,
    issuer: String,
    audience: String,
    policy: KeyPolicy,
    clock: Clock,
}

/// What an access token is to say.
pub struct Grant {
    pub user_id: UserId,
    pub role: Role,
    pub session: SessionId,
    pub generation: i64,
    /// When the password was typed.
    pub authenticated_at: DateTime<Utc>,
}

/// The keys as they are at the moment.
struct Keys {
    header: Header,
    signs: EncodingKey,
    jwks: Arc<serde_json::Value>,
}

impl TokenIssuer {
    /// Takes the keys of the database, and makes one at the first start.
    pub async fn load(
        db: &Db,
        settings: &TokenSettings,
        policy: KeyPolicy,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let keys = rotate(db, &policy, &clock).await?;
        Ok(Self {
            keys: RwLock::new(Arc::new(keys)),
            issuer: settings.token_issuer.clone(),
            audience: settings.token_audience.clone(),
            policy,
            clock,
        })
    }

    /// Lets keys come and go until `stop`. Every replica does so, and takes what another one has made.
    pub async fn keep_rotating(&self, db: &Db, stop: CancellationToken) {
        while stop
            .run_until_cancelled(tokio::time::sleep(self.policy.look_every()))
            .await
            .is_some()
        {
            match rotate(db, &self.policy, &self.clock).await {
                Ok(keys) => *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys),
                Err(error) => tracing::warn!(
                    error = cause_chain(error.as_ref()),
                    "token keys cannot be looked after"
                ),
            }
        }
    }

    /// The public keys as a JSON Web Key Set (RFC 7517).
    pub fn jwks(&self) -> Arc<serde_json::Value> {
        self.keys().jwks.clone()
    }

    /// Seconds for which a token is valid.
    pub fn lifetime(&self) -> i64 {
        self.policy.token_lifetime.num_seconds()
    }

    pub fn issue(&self, grant: &Grant) -> Result<String, jsonwebtoken::errors::Error> {
        let now = self.clock.now().timestamp();
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: grant.user_id,
            role: grant.role,
            iat: now,
            exp: now + self.lifetime(),
            sid: Some(grant.session),
            generation: Some(grant.generation),
            auth_time: Some(grant.authenticated_at.timestamp()),
        };
        let keys = self.keys();
        jsonwebtoken::encode(&keys.header, &claims, &keys.signs)
    }

    fn keys(&self) -> Arc<Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Adds a key when one is due, removes those that are over, and loads the rest.
async fn rotate(db: &Db, policy: &KeyPolicy, clock: &Clock) -> anyhow::Result<Keys> {
    let fresh = generate(clock)?;
    let now = clock.now();
    let keys = db
        .transaction("users.token_keys", async |tx| -> Result<Vec<TokenKey>, DbError> {
            let mut keys = token_keys::all(tx).await?;
            let made_at: Vec<_> = keys.iter().map(|key| key.created_at).collect();
            let plan = plan(&made_at, now, policy);
            if plan
                .as_ref()
                .is_some_and(|plan| !plan.is_new_one_due && plan.over.is_empty())
            {
                return Ok(keys);
            }
            if token_keys::lock(tx).await? == keys.len() {
                for over in plan.iter().flat_map(|plan| &plan.over) {
                    tracing::info!(kid = keys[*over].kid, "a token key is over");
                    token_keys::remove(tx, &keys[*over].kid).await?;
                }
                if plan.is_none_or(|plan| plan.is_new_one_due) {
                    tracing::info!(kid = fresh.kid, "made a token key");
                    token_keys::add(tx, &fresh).await?;
                }
            }
            // Otherwise another replica was faster.
            keys = token_keys::all(tx).await?;
            Ok(keys)
        })
        .await?;
    let made_at: Vec<_> = keys.iter().map(|key| key.created_at).collect();
    let signs = plan(&made_at, now, policy).map(|plan| &keys[plan.signs]);
    let signs = signs.ok_or_else(|| anyhow::anyhow!("no token key, although one was just added"))?;
    Ok(Keys {
        header: Header {
            kid: Some(signs.kid.clone()),
            ..Header::new(Algorithm::EdDSA)
        },
        signs: EncodingKey::from_ed_der(&signs.private),
        jwks: Arc::new(json!({ "keys": keys.iter().map(to_jwk).collect::<Vec<_>>() })),
    })
}

fn generate(clock: &Clock) -> anyhow::Result<TokenKey> {
    let unusable = |_| anyhow::anyhow!("the system's random generator made no token key");
    let private = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(unusable)?;
    let pair = Ed25519KeyPair::from_pkcs8(private.as_ref())?;
    Ok(TokenKey {
        kid: name_of(pair.public_key().as_ref()),
        private: private.as_ref().to_vec(),
        public: pair.public_key().as_ref().to_vec(),
        created_at: clock.now(),
    })
}

/// A key is named after its first bytes, which nobody else's key shares.
fn name_of(public: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(&public[..12])
}

fn to_jwk(key: &TokenKey) -> serde_json::Value {
    json!({
        "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
        "kid": key.kid, "x": URL_SAFE_NO_PAD.encode(&key.public),
    })
}

/// A policy out of settings in seconds.
pub fn policy(lifetime: i64, ahead: i64, token_lifetime: i64) -> KeyPolicy {
    KeyPolicy {
        lifetime: TimeDelta::seconds(lifetime),
        ahead: TimeDelta::seconds(ahead),
        token_lifetime: TimeDelta::seconds(token_lifetime),
    }
}
