use std::sync::{Arc, PoisonError, RwLock};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use db::{Db, DbError, Tx};
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
    domain::{
        key_ring::{KeyPolicy, plan},
        seal::Seal,
    },
    store::token_keys::{self, TokenKey},
};

/// Signs access tokens with Ed25519 (RFC 8037), and shows the keys that verify them.
pub struct TokenIssuer {
    keys: RwLock<Arc<Keys>>,
    issuer: String,
    audience: String,
    policy: KeyPolicy,
    seal: Seal,
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
        seal: Seal,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let keys = rotate(db, &policy, &seal, &clock).await?;
        Ok(Self {
            keys: RwLock::new(Arc::new(keys)),
            issuer: settings.token_issuer.clone(),
            audience: settings.token_audience.clone(),
            policy,
            seal,
            clock,
        })
    }

    /// Lets keys come and go until `stop`. Every replica does so, and takes what another one has
    /// made.
    pub async fn keep_rotating(&self, db: &Db, stop: CancellationToken) {
        while stop
            .run_until_cancelled(tokio::time::sleep(self.policy.look_every()))
            .await
            .is_some()
        {
            match rotate(db, &self.policy, &self.seal, &self.clock).await {
                Ok(keys) => {
                    *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
                }
                Err(error) => {
                    tracing::warn!(
                        error = cause_chain(&error),
                        "token keys cannot be looked after"
                    );
                }
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
        self.keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// For how long a key in plain goes on signing once there is one that is encrypted: replicas of the
/// version before cannot read that one, and have to be gone by then.
const PLAIN_STAYS: TimeDelta = TimeDelta::hours(24);

/// Why there are no keys to sign by.
#[derive(Debug, thiserror::Error)]
enum KeysError {
    #[error(
        "TOKEN_KEY_SECRET does not open the token key {kid}: give the secret that it was encrypted under. After a change of the \
         secret give the one before, too, as TOKEN_KEY_SECRET_BEFORE. If that one is lost, `cargo tovar keys revoke {kid}` takes \
         the key away, and all who are logged in by it log in again"
    )]
    Sealed { kid: String },
    #[error("the system's random generator made no token key")]
    Random,
    #[error("there is no token key, although one was just made")]
    None,
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Adds a key when one is due, removes those that are over, encrypts those anew that are under the
/// secret before, and loads them. Nothing is changed with a secret that does not open them.
async fn rotate(
    db: &Db,
    policy: &KeyPolicy,
    seal: &Seal,
    clock: &Clock,
) -> Result<Keys, KeysError> {
    let now = clock.now();
    let fresh = generate(seal, now)?;
    let keys = db
        .transaction(
            "users.token_keys",
            async |tx| -> Result<Vec<Usable>, KeysError> {
                let mut keys = opened(token_keys::all(tx).await?, seal)?;
                if let Some(due) = due(&keys, policy, now) {
                    come_and_go(tx, due, keys.len(), &fresh).await?;
                    keys = opened(token_keys::all(tx).await?, seal)?;
                }
                for key in keys.iter().filter(|key| key.is_former) {
                    let sealed = seal.seal(&key.stored.kid, &key.private);
                    token_keys::seal(tx, &key.stored.kid, &sealed.map_err(|_| KeysError::Random)?)
                        .await?;
                }
                let plan = plan(&made_at(&keys), now, policy).ok_or(KeysError::None)?;
                let signs = &keys[plan.signs].stored;
                if !signs.signs {
                    token_keys::note_that_it_signs(tx, &signs.kid).await?;
                }
                Ok(keys)
            },
        )
        .await?;
    let plan = plan(&made_at(&keys), now, policy).ok_or(KeysError::None)?;
    let signs = &keys[plan.signs];
    let shown: Vec<_> = keys.iter().map(|key| to_jwk(&key.stored)).collect();
    Ok(Keys {
        header: Header {
            kid: Some(signs.stored.kid.clone()),
            ..Header::new(Algorithm::EdDSA)
        },
        signs: EncodingKey::from_ed_der(&signs.private),
        jwks: Arc::new(json!({ "keys": shown })),
    })
}

/// A key whose private part can be read.
struct Usable {
    stored: TokenKey,
    private: Vec<u8>,
    is_former: bool,
}

fn opened(keys: Vec<TokenKey>, seal: &Seal) -> Result<Vec<Usable>, KeysError> {
    let open = |stored: TokenKey| {
        let (private, is_former) = match &stored.sealed {
            None => (stored.private.clone(), false),
            Some(sealed) => {
                let opened = seal.open(&stored.kid, sealed);
                let opened = opened.ok_or_else(|| KeysError::Sealed {
                    kid: stored.kid.clone(),
                })?;
                (opened.private, opened.is_former)
            }
        };
        Ok(Usable {
            stored,
            private,
            is_former,
        })
    };
    keys.into_iter().map(open).collect()
}

fn made_at(keys: &[Usable]) -> Vec<DateTime<Utc>> {
    keys.iter().map(|key| key.stored.created_at).collect()
}

/// What is to be done with the keys.
struct Due {
    /// When a new one is said to be made.
    fresh: Option<DateTime<Utc>>,
    /// Those that are over, by name.
    over: Vec<String>,
}

fn due(keys: &[Usable], policy: &KeyPolicy, now: DateTime<Utc>) -> Option<Due> {
    let plan = plan(&made_at(keys), now, policy);
    let fresh = match &plan {
        None => Some(now),
        Some(_) if keys.iter().all(|key| key.stored.sealed.is_none()) => Some(now + PLAIN_STAYS),
        Some(plan) => plan.is_new_one_due.then_some(now),
    };
    let over = plan.map(|plan| plan.over).unwrap_or_default();
    let over: Vec<String> = over
        .iter()
        .map(|key| keys[*key].stored.kid.clone())
        .collect();
    (fresh.is_some() || !over.is_empty()).then_some(Due { fresh, over })
}

/// Lets keys come and go, unless another replica was faster than this one, which has seen so many.
async fn come_and_go(
    tx: &mut Tx<'_>,
    due: Due,
    seen: usize,
    fresh: &TokenKey,
) -> Result<(), DbError> {
    if token_keys::lock(tx).await? != seen {
        return Ok(());
    }
    for kid in &due.over {
        tracing::info!(kid, "a token key is over");
        token_keys::remove(tx, kid).await?;
    }
    if let Some(created_at) = due.fresh {
        tracing::info!(kid = fresh.kid, "made a token key");
        let key = TokenKey {
            created_at,
            ..fresh.clone()
        };
        token_keys::add(tx, &key).await?;
    }
    Ok(())
}

fn generate(seal: &Seal, now: DateTime<Utc>) -> Result<TokenKey, KeysError> {
    let random = |_| KeysError::Random;
    let private = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(random)?;
    let pair = Ed25519KeyPair::from_pkcs8(private.as_ref()).map_err(|_| KeysError::Random)?;
    let kid = name_of(pair.public_key().as_ref());
    let sealed = seal.seal(&kid, private.as_ref()).map_err(random)?;
    Ok(TokenKey {
        kid,
        private: Vec::new(),
        public: pair.public_key().as_ref().to_vec(),
        created_at: now,
        sealed: Some(sealed),
        signs: false,
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
