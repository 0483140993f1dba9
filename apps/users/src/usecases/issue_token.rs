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

/// Signs access tokens with Ed25519 (RFC 8037), and publishes the keys that verify them.
pub struct TokenIssuer {
    keys: RwLock<Arc<Keys>>,
    issuer: String,
    audience: String,
    policy: KeyPolicy,
    seal: Seal,
    clock: Clock,
}

/// The content of a new access token.
pub struct Grant {
    pub user_id: UserId,
    pub role: Role,
    pub session: SessionId,
    pub generation: i64,
    /// Time at which the password was typed.
    pub authenticated_at: DateTime<Utc>,
}

/// The keys as this replica knows them.
struct Keys {
    header: Header,
    signs: EncodingKey,
    jwks: Arc<serde_json::Value>,
}

impl TokenIssuer {
    /// Loads the keys from the database, and makes one at the first start.
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

    /// Rotates the keys until `stop`. Every replica does so, and loads the keys that another one
    /// made.
    pub async fn keep_rotating(&self, db: &Db, stop: CancellationToken) {
        while stop
            .run_until_cancelled(tokio::time::sleep(self.policy.poll_interval()))
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

/// How long a plain-text key goes on signing after an encrypted one was made. Replicas of the
/// release before cannot read encrypted keys; they have to be replaced within this time.
const PLAIN_KEY_STAYS: TimeDelta = TimeDelta::hours(24);

/// The reason why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
enum KeysError {
    #[error(
        "TOKEN_KEY_SECRET does not open the token key {kid}: give the secret that it was encrypted \
         under. After a change of the secret give the one before, too, as TOKEN_KEY_SECRET_BEFORE. \
         If that one is lost, `cargo tovar keys revoke {kid}` takes the key away, and all who are \
         logged in by it log in again"
    )]
    Sealed { kid: String },
    #[error("the system's random generator made no token key")]
    Random,
    #[error("there is no token key, although one was just made")]
    None,
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Adds a key when one is due, removes expired keys, encrypts keys anew that are under the former
/// secret, and loads all keys. Changes nothing if the secret does not open them.
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
            async |tx| -> Result<Vec<OpenedKey>, KeysError> {
                let mut keys = opened(token_keys::all(tx).await?, seal)?;
                if let Some(due) = due(&keys, policy, now) {
                    change_keys(tx, due, keys.len(), &fresh).await?;
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
    let public: Vec<_> = keys.iter().map(|key| to_jwk(&key.stored)).collect();
    Ok(Keys {
        header: Header {
            kid: Some(signs.stored.kid.clone()),
            ..Header::new(Algorithm::EdDSA)
        },
        signs: EncodingKey::from_ed_der(&signs.private),
        jwks: Arc::new(json!({ "keys": public })),
    })
}

/// A key whose private part was decrypted.
struct OpenedKey {
    stored: TokenKey,
    private: Vec<u8>,
    is_former: bool,
}

fn opened(keys: Vec<TokenKey>, seal: &Seal) -> Result<Vec<OpenedKey>, KeysError> {
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
        Ok(OpenedKey {
            stored,
            private,
            is_former,
        })
    };
    keys.into_iter().map(open).collect()
}

fn made_at(keys: &[OpenedKey]) -> Vec<DateTime<Utc>> {
    keys.iter().map(|key| key.stored.created_at).collect()
}

/// The changes of the keys that are due.
struct Due {
    /// The creation time of a new key, if one is due. It may be in the future, so that the key
    /// signs later.
    fresh: Option<DateTime<Utc>>,
    /// The ids of expired keys.
    over: Vec<String>,
}

fn due(keys: &[OpenedKey], policy: &KeyPolicy, now: DateTime<Utc>) -> Option<Due> {
    let plan = plan(&made_at(keys), now, policy);
    let fresh = match &plan {
        None => Some(now),
        Some(_) if keys.iter().all(|key| key.stored.sealed.is_none()) => {
            Some(now + PLAIN_KEY_STAYS)
        }
        Some(plan) => plan.is_new_one_due.then_some(now),
    };
    let over = plan.map(|plan| plan.over).unwrap_or_default();
    let over: Vec<String> = over
        .iter()
        .map(|key| keys[*key].stored.kid.clone())
        .collect();
    (fresh.is_some() || !over.is_empty()).then_some(Due { fresh, over })
}

/// Makes the changes that are due, unless another replica was faster: then the number of keys is
/// not `seen` any more.
async fn change_keys(
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

/// The id of a key: its first bytes, which no other key shares.
fn name_of(public: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(&public[..12])
}

fn to_jwk(key: &TokenKey) -> serde_json::Value {
    json!({
        "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
        "kid": key.kid, "x": URL_SAFE_NO_PAD.encode(&key.public),
    })
}

/// The policy by the settings, which are in seconds.
pub fn policy(lifetime: i64, ahead: i64, token_lifetime: i64) -> KeyPolicy {
    KeyPolicy {
        lifetime: TimeDelta::seconds(lifetime),
        ahead: TimeDelta::seconds(ahead),
        token_lifetime: TimeDelta::seconds(token_lifetime),
    }
}
