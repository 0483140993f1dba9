use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use db::{Db, DbError};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use kernel::{Clock, UserId};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde_json::json;
use service_kit::{Claims, Role, TokenSettings};

use crate::store::token_keys::{self, TokenKey};

/// Signs access tokens with Ed25519 (RFC 8037), and shows the keys that verify them.
pub struct TokenIssuer {
    header: Header,
    key: EncodingKey,
    jwks: serde_json::Value,
    issuer: String,
    audience: String,
    lifetime: i64,
    clock: Clock,
}

impl TokenIssuer {
    /// Takes the newest key of the database, and makes one at the first start.
    pub async fn load(
        db: &Db,
        settings: &TokenSettings,
        lifetime: i64,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let fresh = generate()?;
        let keys = db
            .transaction("users.token_keys", async |tx| -> Result<Vec<TokenKey>, DbError> {
                token_keys::add_first(tx, &fresh).await?;
                token_keys::all(tx).await
            })
            .await?;
        let newest = keys
            .first()
            .ok_or_else(|| anyhow::anyhow!("no token key, although one was just added"))?;
        let header = Header {
            kid: Some(newest.kid.clone()),
            ..Header::new(Algorithm::EdDSA)
        };
        Ok(Self {
            header,
            key: EncodingKey::from_ed_der(&newest.private),
            jwks: json!({ "keys": keys.iter().map(to_jwk).collect::<Vec<_>>() }),
            issuer: settings.token_issuer.clone(),
            audience: settings.token_audience.clone(),
            lifetime,
            clock,
        })
    }

    /// The public keys as a JSON Web Key Set (RFC 7517).
    pub fn jwks(&self) -> &serde_json::Value {
        &self.jwks
    }

    /// Seconds for which a token is valid.
    pub fn lifetime(&self) -> i64 {
        self.lifetime
    }

    pub fn issue(&self, user_id: UserId, role: Role) -> Result<String, jsonwebtoken::errors::Error> {
        let now = self.clock.now().timestamp();
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: user_id,
            role,
            iat: now,
            exp: now + self.lifetime,
        };
        jsonwebtoken::encode(&self.header, &claims, &self.key)
    }
}

fn generate() -> anyhow::Result<TokenKey> {
    let unusable = |_| anyhow::anyhow!("the system's random generator made no token key");
    let private = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(unusable)?;
    let pair = Ed25519KeyPair::from_pkcs8(private.as_ref())?;
    Ok(TokenKey {
        kid: name_of(pair.public_key().as_ref()),
        private: private.as_ref().to_vec(),
        public: pair.public_key().as_ref().to_vec(),
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
