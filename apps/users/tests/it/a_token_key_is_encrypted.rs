use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use reqwest::{Method, StatusCode};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde_json::Value;

use crate::fixture::{Fixture, MANAGER, PASSWORD, TOKEN_KEY_SECRET};

/// Id, plain private part, and whether there is an encrypted one, of each key; the newest first.
async fn keys(users: &Fixture) -> Vec<(String, Vec<u8>, bool)> {
    let sql = "SELECT kid, private, sealed IS NOT NULL FROM token_keys ORDER BY created_at DESC";
    let rows = users.sql().await.query(sql, &[]).await.unwrap();
    rows.iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect()
}

async fn shown(users: &Fixture) -> Vec<String> {
    let jwks = users
        .send(Method::GET, "/.well-known/jwks.json", None, &[])
        .await;
    let keys = jwks.body["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

/// The id of the key that signed a token.
fn signer(token: &str) -> String {
    let header = token
        .trim_start_matches("Bearer ")
        .split('.')
        .next()
        .unwrap();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

async fn opens(users: &Fixture, token: &str) -> bool {
    let me = users
        .send_as(token, Method::GET, "/api/users/me", None)
        .await;
    me.status == StatusCode::OK
}

/// Leaves the database as the release before made it, with a plain key; returns the key's id.
async fn as_of_the_version_before(users: &Fixture) -> String {
    let private = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(private.as_ref()).unwrap();
    let public = pair.public_key().as_ref();
    let kid = URL_SAFE_NO_PAD.encode(&public[..12]);
    let sql = users.sql().await;
    sql.batch_execute("DELETE FROM token_keys").await.unwrap();
    // Everything that the release before writes.
    let add =
        "INSERT INTO token_keys (kid, private, public, created_at) VALUES ($1, $2, $3, now())";
    let written = sql.execute(add, &[&kid, &private.as_ref(), &public]).await;
    assert_eq!(written.unwrap(), 1);
    kid
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_lies_in_the_database_encrypted_only() {
    let users = Fixture::new().await;
    let keys = keys(&users).await;
    assert_eq!(keys.len(), 1);
    assert_eq!((&*keys[0].1, keys[0].2), (&[][..], true));
    let token = users.token(MANAGER, PASSWORD).await;
    assert_eq!(signer(&token), keys[0].0);
    assert!(opens(&users, &token).await);
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_wrong_secret_users_does_not_start_and_says_what_to_do() {
    let mut users = Fixture::new().await;
    let before = keys(&users).await;
    let refused = users
        .try_set("--token-key-secret=another")
        .await
        .unwrap_err();
    let said = format!("{refused:#}");
    for part in [
        "TOKEN_KEY_SECRET_BEFORE",
        &before[0].0,
        "cargo tovar keys revoke",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(keys(&users).await, before, "nothing was changed");
    users
        .set(&format!("--token-key-secret={TOKEN_KEY_SECRET}"))
        .await;
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_is_replaced_and_nobody_is_logged_out() {
    let mut users = Fixture::new().await;
    let token = users.token(MANAGER, PASSWORD).await;
    users
        .try_set(&format!("--token-key-secret-before={TOKEN_KEY_SECRET}"))
        .await
        .unwrap();
    users.set("--token-key-secret=the next one").await;
    assert!(opens(&users, &token).await);
    assert_eq!(
        signer(&users.token(MANAGER, PASSWORD).await),
        signer(&token)
    );
    // From then on the former secret is of no use.
    users.set("--token-key-secret-before=forgotten").await;
    assert!(opens(&users, &token).await);
    users.stop().await;
}

/// Replicas of the release before know the plain key only. It signs for as long as they may run,
/// and is removed then.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_plain_is_followed_by_an_encrypted_one_and_nobody_is_logged_out() {
    let mut users = Fixture::new().await;
    let plain = as_of_the_version_before(&users).await;
    users.restart().await;
    let all = keys(&users).await;
    assert_eq!(all.len(), 2, "{all:?}");
    let (sealed, private, is_sealed) = &all[0];
    assert!(private.is_empty() && *is_sealed);
    assert_eq!(all[1].0, plain);
    assert_eq!(shown(&users).await, [sealed.clone(), plain.clone()]);
    users.restart().await;
    assert_eq!(keys(&users).await, all, "it is made once");
    users.restart_after(TimeDelta::hours(23)).await;
    assert_eq!(signer(&users.token(MANAGER, PASSWORD).await), plain);
    // The clock of this process decides which key signs; a token of that time is expired by now.
    users
        .restart_after(TimeDelta::hours(24) + TimeDelta::minutes(11))
        .await;
    assert_eq!(signer(&users.token(MANAGER, PASSWORD).await), *sealed);
    assert_eq!(shown(&users).await, [sealed.clone(), plain.clone()]);
    users.restart_after(TimeDelta::hours(48)).await;
    assert_eq!(keys(&users).await, [all[0].clone()]);
    users.stop().await;
}
