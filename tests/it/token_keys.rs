//! How the public token keys get from users to the other services, and what becomes of one
//! that has leaked.

use std::{fs, path::Path, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use reqwest::StatusCode;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::Instant,
};
use tovar::{
    client::{Client, wait_for},
    operations::keys::{self, KeyState},
};

use crate::harness::{SERVICES, Store, WITHIN, each};

const EVERY_SERVICE: [&str; 6] = [
    "/api/users/me",
    "/api/account",
    "/api/orders",
    "/api/goods/tea/movements",
    "/api/deliveries",
    "/api/notifications",
];

/// Each service's answer to a token: the status, and the code of a refusal.
async fn answers(client: &Client) -> Vec<(StatusCode, Option<String>)> {
    let mut all = Vec::new();
    for path in EVERY_SERVICE {
        let answer = client.get(path).await.unwrap();
        all.push((answer.status, answer.code().map(ToOwned::to_owned)));
    }
    all
}

fn is_refused((status, code): &(StatusCode, Option<String>)) -> bool {
    *status == StatusCode::UNAUTHORIZED && code.as_deref() == Some("token_invalid")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_revoked_opens_nothing_and_another_one_signs_at_once() {
    let store = Store::start_with(&each(&["--jwks-refresh-seconds=2"])).await;
    // As it is: the manager themselves would go on by their refresh token.
    let stolen = store
        .guest
        .with_token(&store.manager.tokens().unwrap().access);
    let told = answers(&stolen).await;
    assert!(!told.iter().any(is_refused), "{told:?}");
    let mut client = keys::open(&store.file()).await.unwrap();
    let before = keys::list(&client).await.unwrap();
    assert_eq!(before.len(), 1);
    assert_eq!(
        (before[0].state, before[0].encrypted),
        (KeyState::Signs, true)
    );

    let wrong = keys::revoke(&mut client, "nothing", "ada", "a mistake").await;
    assert!(
        wrong
            .unwrap_err()
            .to_string()
            .contains("no token key nothing")
    );
    let done = keys::revoke(&mut client, &before[0].kid, "ada", "its backup was lost").await;
    assert_eq!(done.unwrap().operation, "revoke");
    let row = client
        .query_one(
            "SELECT who, operation, details->>'kid', details->>'why' FROM token_key_operations",
            &[],
        )
        .await
        .unwrap();
    let recorded: [String; 4] = std::array::from_fn(|column| row.get(column));
    assert_eq!(
        recorded,
        ["ada", "revoke", &before[0].kid, "its backup was lost"]
    );

    let began = Instant::now();
    let mut told = Vec::new();
    while !(told.len() == SERVICES.len() && told.iter().all(is_refused)) {
        assert!(began.elapsed() < Duration::from_secs(20), "{told:?}");
        told = answers(&stolen).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // No service waits for the new one.
    let again = store
        .guest
        .log_in("manager@example.org", "the manager's password")
        .await;
    let told = answers(&again.unwrap()).await;
    assert!(!told.iter().any(is_refused), "{told:?}");
    let after = keys::list(&client).await.unwrap();
    assert_eq!(after.len(), 1);
    assert_ne!(after[0].kid, before[0].kid);
    assert_eq!(after[0].state, KeyState::Signs);
    store.end().await;
}

async fn ready(store: &Store, service: &str) -> (StatusCode, String) {
    let answer = reqwest::get(format!("{}/health/ready", store.ops[service]))
        .await
        .unwrap();
    (answer.status(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_too_old_are_believed_no_more_and_readiness_says_why() {
    let mut store = Store::start_with(&each(&["--jwks-refresh-seconds=1"])).await;
    let customer = store.guest.new_customer(1_000).await.unwrap();
    let asked = async || {
        let answer = customer.get("/api/account").await.unwrap();
        (answer.status, answer.code().map(ToOwned::to_owned))
    };
    store.stop_service("users").await;
    for (hours, believed) in [(23, true), (25, false)] {
        store.stop_service("billing").await;
        let age =
            format!("UPDATE token_key_cache SET fetched_at = now() - interval '{hours} hours'");
        store
            .sql("billing")
            .await
            .batch_execute(&age)
            .await
            .unwrap();
        store.start_service("billing").await;
        wait_for("the keys of the last run", WITHIN, async || {
            let text = reqwest::get(format!("{}/metrics", store.ops["billing"]))
                .await?
                .text()
                .await?;
            let age = text
                .lines()
                .find(|line| line.starts_with("tovar_token_keys_age_seconds{"));
            let age = age.and_then(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
            Ok(age.is_some_and(|age| age >= f64::from(hours) * 3600.0))
        })
        .await
        .unwrap();
        let (status, why) = ready(&store, "billing").await;
        if believed {
            assert_eq!(asked().await, (StatusCode::OK, None), "{hours} h");
            assert_eq!(status, StatusCode::OK);
        } else {
            let refused = (
                StatusCode::SERVICE_UNAVAILABLE,
                Some("token_keys_unavailable".to_owned()),
            );
            assert_eq!(asked().await, refused, "{hours} h");
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(why.contains("the token keys are 25 h old"), "{why}");
        }
    }
    store.start_service("users").await;
    wait_for("billing to know its callers again", WITHIN, async || {
        Ok(asked().await.0 == StatusCode::OK && ready(&store, "billing").await.0 == StatusCode::OK)
    })
    .await
    .unwrap();
    store.stop().await;
}

/// An authority's certificate, and one of a server at localhost with its private key, as files.
fn authority(folder: &TempDir, name: &str) -> [String; 2] {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = certificate.signed_by(&key, &issuer).unwrap();
    let written = |file: &str, text: String| {
        let path = Path::new(folder.path()).join(format!("{name}.{file}"));
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    [
        written("ca", issuer.pem()),
        written("server", key.serialize_pem() + &certificate.pem()),
    ]
}

/// Answers every request with the same bytes; its port.
async fn impostor(answer: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut head = [0; 4096];
                // Whatever is asked.
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn token_keys_are_taken_from_whom_the_authority_vouches_for_and_from_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let ([ca, certificate], [other, _]) = (authority(&folder, "ours"), authority(&folder, "other"));
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let users = [
        format!("--https-listen=127.0.0.1:{port}"),
        format!("--https-certificate={certificate}"),
        format!("--https-key={certificate}"),
    ];
    let plain = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let elsewhere = format!("http://127.0.0.1:{plain}/.well-known/jwks.json");
    let redirect =
        format!("HTTP/1.1 307 Elsewhere\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\n\r\n");
    let large = format!("{{\"keys\":[],\"more\":\"{}\"}}", "x".repeat(100_000));
    let large = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{large}",
        large.len()
    );
    let empty = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"keys\":[]}".to_owned();
    let at = |port: u16| format!("--jwks-url=http://127.0.0.1:{port}/.well-known/jwks.json");
    let over_tls = |host: &str| format!("--jwks-url=https://{host}:{port}/.well-known/jwks.json");
    let listens = format!("--http-listen=127.0.0.1:{plain}");
    let users: Vec<&str> = users
        .iter()
        .map(String::as_str)
        .chain([listens.as_str()])
        .collect();
    let (redirect, large, empty) = (
        at(impostor(redirect).await),
        at(impostor(large).await),
        at(impostor(empty).await),
    );
    let (right, unnamed) = (over_tls("localhost"), over_tls("127.0.0.1"));
    let (ours, others) = (format!("--jwks-ca={ca}"), format!("--jwks-ca={other}"));
    let store = Store::start_with(&[
        ("users", &users),
        ("billing", &[&right, &ours]),
        ("orders", &[&right, &others]),
        ("warehouse", &[&unnamed, &ours]),
        ("delivery", &[&redirect]),
        ("notifications", &[&large]),
    ])
    .await;
    let told = answers(&store.manager).await;
    let codes: Vec<_> = told.iter().map(|(_, code)| code.as_deref()).collect();
    let unknown = Some("token_keys_unavailable");
    assert_eq!(
        (&codes[2..], told[0].0),
        (&[unknown; 4][..], StatusCode::OK),
        "{told:?}"
    );
    assert_ne!(codes[1], unknown, "{told:?}");
    store.end().await;

    let store = Store::start_with(&[("notifications", &[&empty])]).await;
    assert_eq!(answers(&store.manager).await[5].1.as_deref(), unknown);
    store.end().await;
}
