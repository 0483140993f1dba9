use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use connect::Secret;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::StatusCode;
use serde_json::{Value, json};
use users::domain::seal::Seal;

use crate::harness::{MustSucceed, Store, TOKEN_KEY_SECRET, operations};

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// The store's own key, as only its database has it, and only its secret opens it.
async fn key(store: &Store) -> (String, Vec<u8>, Vec<u8>) {
    let users = store.sql("users").await;
    let row = users
        .query_one("SELECT kid, sealed, public FROM token_keys", &[])
        .await
        .unwrap();
    let kid: String = row.get(0);
    let seal = Seal::new(&Secret::new(TOKEN_KEY_SECRET), None).unwrap();
    let opened = seal.open(&kid, row.get(1)).unwrap();
    (kid, opened.private, row.get(2))
}

fn signed(algorithm: Algorithm, kid: Option<&str>, claims: &Value, key: &EncodingKey) -> String {
    let header = Header {
        kid: kid.map(ToOwned::to_owned),
        ..Header::new(algorithm)
    };
    encode(&header, claims, key).unwrap()
}

/// The claims of a valid token of a customer who is logged in.
async fn claims(store: &Store) -> Value {
    let customer = store.guest.new_customer(0).await.unwrap();
    let me = customer.ok_get("/api/users/me").await;
    let sessions = customer.ok_get("/api/sessions").await;
    json!({
        "iss": "tovar", "aud": "tovar", "sub": me["id"], "role": "customer",
        "iat": now(), "exp": now() + 60,
        "sid": sessions["items"][0]["id"], "gen": 0, "auth_time": now(),
    })
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a table of tokens")]
async fn only_the_stores_own_tokens_open_it() {
    let store = Store::start().await;
    let (kid, private, public) = key(&store).await;
    let own = EncodingKey::from_ed_der(&private);
    let claims = claims(&store).await;
    let with = |name: &str, value: Value| {
        let mut changed = claims.clone();
        changed[name] = value;
        signed(Algorithm::EdDSA, Some(&kid), &changed, &own)
    };
    let without = |name: &str| {
        let mut changed = claims.clone();
        changed.as_object_mut().unwrap().remove(name);
        signed(Algorithm::EdDSA, Some(&kid), &changed, &own)
    };
    let good = signed(Algorithm::EdDSA, Some(&kid), &claims, &own);
    let parts: Vec<&str> = good.split('.').collect();
    let base64 = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let promoted = {
        let mut promoted = claims.clone();
        promoted["role"] = json!("manager");
        base64(&promoted)
    };
    let none = base64(&json!({ "alg": "none", "typ": "JWT", "kid": kid }));
    let foreign =
        ring::signature::Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
    let foreign = EncodingKey::from_ed_der(foreign.as_ref());
    let forged = [
        (
            "another payload under the same signature",
            format!("{}.{promoted}.{}", parts[0], parts[2]),
        ),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("the algorithm none", format!("{none}.{}.", parts[1])),
        // The public key is public: it must not serve as a shared secret.
        (
            "the public key as a secret",
            signed(
                Algorithm::HS256,
                Some(&kid),
                &claims,
                &EncodingKey::from_secret(&public),
            ),
        ),
        (
            "somebody else's key under our name",
            signed(Algorithm::EdDSA, Some(&kid), &claims, &foreign),
        ),
        (
            "an unknown key",
            signed(Algorithm::EdDSA, Some("nobody"), &claims, &own),
        ),
        (
            "no key named",
            signed(Algorithm::EdDSA, None, &claims, &own),
        ),
        ("expired", with("exp", json!(now() - 1))),
        ("another issuer", with("iss", json!("elsewhere"))),
        ("another audience", with("aud", json!("elsewhere"))),
        ("an unknown role", with("role", json!("king"))),
        ("no user", with("sub", json!("nobody"))),
        ("of a longer life than any", {
            let mut long = claims.clone();
            long["exp"] = json!(now() + 3600 + 120);
            signed(Algorithm::EdDSA, Some(&kid), &long, &own)
        }),
        ("from the future", {
            let mut early = claims.clone();
            (early["iat"], early["exp"]) = (json!(now() + 120), json!(now() + 180));
            signed(Algorithm::EdDSA, Some(&kid), &early, &own)
        }),
        ("from the end of time", with("iat", json!(i64::MAX))),
        ("from before all times", with("iat", json!(i64::MIN))),
        ("no time of issue", without("iat")),
        ("no expiry", without("exp")),
        ("no issuer", without("iss")),
        ("no audience", without("aud")),
        ("not a token", "x".repeat(5_000)),
        ("nothing", String::new()),
    ];
    for service in [
        "/api/notifications",
        "/api/users/me",
        "/api/account",
        "/api/orders",
    ] {
        let ask = async |token: &str| store.guest.with_token(token).get(service).await.unwrap();
        assert_ne!(
            ask(&good).await.status,
            StatusCode::UNAUTHORIZED,
            "{service}"
        );
        for (what, token) in &forged {
            let answer = ask(token).await;
            let refusal = (answer.status, answer.code());
            assert_eq!(
                refusal,
                (StatusCode::UNAUTHORIZED, Some("token_invalid")),
                "{service}: {what}"
            );
        }
    }
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_release_before_is_told_to_log_in_again() {
    let store = Store::start().await;
    let (kid, private, _) = key(&store).await;
    let own = EncodingKey::from_ed_der(&private);
    let whole = claims(&store).await;
    for missing in [
        &["sid", "gen", "auth_time"][..],
        &["sid"],
        &["gen"],
        &["auth_time"],
    ] {
        let mut claims = whole.clone();
        for name in missing {
            claims.as_object_mut().unwrap().remove(*name);
        }
        let old = store
            .guest
            .with_token(&signed(Algorithm::EdDSA, Some(&kid), &claims, &own));
        let all = operations(&store).await.into_iter();
        for operation in all.filter(|operation| operation.takes_token) {
            let answer = operation.send_somewhere(&old).await;
            let refusal = (answer.status, answer.code());
            assert_eq!(
                refusal,
                (StatusCode::UNAUTHORIZED, Some("token_without_session")),
                "{} without {missing:?}",
                operation.name()
            );
            let told = answer.body["detail"].as_str().unwrap();
            assert!(
                told.contains("log in again with POST /api/sessions"),
                "{told}"
            );
        }
    }
    store.stop().await;
}
