use std::time::{Duration, Instant};

use futures_util::{StreamExt, future::join_all, stream};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::fixture::{Answer, Fixture, PASSWORD};

const ADA: &str = "ada@example.org";
const BOB: &str = "bob@example.org";

async fn people(settings: &[&str]) -> Fixture {
    let users = Fixture::with("", settings).await;
    for email in [ADA, BOB] {
        assert_eq!(
            users.register(email, PASSWORD).await.status,
            StatusCode::CREATED
        );
    }
    users
}

/// Logs in with a wrong password until the account has to wait; returns how often.
async fn fail(users: &Fixture, email: &str) -> (usize, Answer) {
    for failed in 0..12 {
        let answer = users
            .log_in_from(&format!("10.1.0.{failed}"), email, "a guess")
            .await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            return (failed, answer);
        }
        assert_eq!(answer.code(), "wrong_credentials");
    }
    panic!("{email} may fail as often as one likes")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_waits_longer_after_each_failure_whether_it_is_there_or_not() {
    let users = people(&[]).await;
    let mut told = Vec::new();
    for email in [ADA, "unknown@example.org"] {
        let (failed, limited) = fail(&users, email).await;
        assert_eq!(limited.code(), "too_many_attempts");
        assert!(
            (1..=5).contains(&limited.retry_after.unwrap()),
            "{limited:?}"
        );
        told.push(failed);
    }
    assert_eq!(told[0], told[1], "it is not told who is a customer");
    let sql = users.sql().await;
    sql.batch_execute("UPDATE login_failures SET blocked_until = now() + interval '1 minute'")
        .await
        .unwrap();
    // Also with the right password, in any spelling, from anywhere.
    let right = users
        .log_in_from("10.2.0.1", "ADA@example.org", PASSWORD)
        .await;
    assert_eq!(right.code(), "too_many_attempts");
    users.token(BOB, PASSWORD).await;

    for wait in [10, 20, 40, 80, 160, 320, 640, 900, 900] {
        sql.batch_execute("UPDATE login_failures SET blocked_until = now()")
            .await
            .unwrap();
        assert_eq!(
            users.log_in(ADA, "a guess").await.code(),
            "wrong_credentials"
        );
        let told = users.log_in(ADA, PASSWORD).await.retry_after.unwrap();
        assert!((wait - 5..=wait).contains(&told), "{told} of {wait}");
    }
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_forgets_no_failure_and_a_right_log_in_all() {
    let mut users = people(&[]).await;
    let (failed, _) = fail(&users, ADA).await;
    let sql = users.sql().await;
    sql.batch_execute("UPDATE login_failures SET blocked_until = now() + interval '1 minute'")
        .await
        .unwrap();
    users.restart().await;
    assert_eq!(
        users.log_in(ADA, PASSWORD).await.code(),
        "too_many_attempts"
    );
    sql.batch_execute("UPDATE login_failures SET blocked_until = now()")
        .await
        .unwrap();
    users.token(ADA, PASSWORD).await;
    assert_eq!(fail(&users, ADA).await.0, failed);
    // A day later the failures do not count.
    let a_day_later =
        "UPDATE login_failures SET failed_at = now() - interval '25 hours', blocked_until = now()";
    sql.batch_execute(a_day_later).await.unwrap();
    assert_eq!(fail(&users, ADA).await.0, failed);
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_the_current_password_is_limited_too() {
    let users = people(&[]).await;
    let token = users.token(ADA, PASSWORD).await;
    let change = async |current: &str| {
        let body = json!({ "password": "another password", "current_password": current });
        users
            .send_as(&token, Method::PATCH, "/api/users/me", Some(&body))
            .await
    };
    let mut answer = change("a guess").await;
    for _ in 0..12 {
        if answer.code() == "wrong_password" {
            answer = change("a guess").await;
        }
    }
    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::TOO_MANY_REQUESTS, "too_many_attempts")
    );
    assert!(answer.retry_after.is_some());
    assert_eq!(change(PASSWORD).await.code(), "too_many_attempts");
    assert_eq!(
        users.log_in(ADA, PASSWORD).await.code(),
        "too_many_attempts"
    );
    let name = users
        .send_as(
            &token,
            Method::PATCH,
            "/api/users/me",
            Some(&json!({ "name": "Ada L." })),
        )
        .await;
    assert_eq!(
        name.status,
        StatusCode::OK,
        "what needs no password goes on"
    );
    users.stop().await;
}

/// Logs in with the right password during a number of wrong log-ins; returns how long it took.
async fn among(
    users: &Fixture,
    wrong: usize,
    of: impl Fn(usize) -> (String, String),
) -> (Duration, Vec<Answer>) {
    let flood = stream::iter((0..wrong).map(|n| {
        let (address, email) = of(n);
        async move { users.log_in_from(&address, &email, "a guess").await }
    }));
    // As many as a listener takes at once.
    let flood = flood.buffer_unordered(500).collect();
    let right = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let began = Instant::now();
        users.token(BOB, PASSWORD).await;
        began.elapsed()
    };
    let (flood, took) = tokio::join!(flood, right);
    (took, flood)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_wrong_log_ins_does_not_make_a_right_one_wait() {
    let users = people(&[]).await;
    let began = Instant::now();
    users.token(BOB, PASSWORD).await;
    let alone = began.elapsed();
    let floods: [&dyn Fn(usize) -> (String, String); 3] = [
        // To one account, from everywhere.
        &|n| (format!("10.{}.{}.1", n / 250, n % 250), ADA.to_owned()),
        // To every account, from one address, and from a network that has more of them than it has
        // accounts.
        &|n| ("10.3.0.1".to_owned(), format!("{n}@example.org")),
        &|n| (format!("2001:db8:1:2::{n:x}"), format!("{n}@example.com")),
    ];
    for (number, of) in floods.into_iter().enumerate() {
        let (took, flood) = among(&users, 1500, of).await;
        // The flood itself costs the one thread of this service some time.
        assert!(
            took < alone * 40 + Duration::from_secs(3),
            "flood {number}: {took:?}, alone {alone:?}"
        );
        let (hashed, refused): (Vec<_>, Vec<_>) = flood
            .iter()
            .partition(|answer| answer.status == StatusCode::UNAUTHORIZED);
        assert!(
            hashed.len() < 120,
            "flood {number}: {} hashed",
            hashed.len()
        );
        assert!(!refused.is_empty());
        for refused in refused {
            assert_eq!(
                (refused.status, refused.code()),
                (StatusCode::TOO_MANY_REQUESTS, "too_many_attempts")
            );
            assert!(refused.retry_after.is_some());
        }
    }
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_place_to_wait_is_told_so_at_once() {
    let users = people(&["--password-queue=2"]).await;
    let sent = join_all((0..200).map(|n| {
        let users = &users;
        async move {
            users
                .log_in_from(
                    &format!("10.4.{n}.1"),
                    &format!("{n}@example.org"),
                    "a guess",
                )
                .await
        }
    }))
    .await;
    let busy: Vec<_> = sent
        .iter()
        .filter(|answer| answer.status == StatusCode::SERVICE_UNAVAILABLE)
        .collect();
    assert!(busy.len() > 50, "{}", busy.len());
    for answer in busy {
        assert_eq!(
            (answer.code(), answer.retry_after),
            ("passwords_busy", Some(1))
        );
    }
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cheap_is_checked_before_a_password_is_hashed() {
    // Most of so many would be refused, if each needed a permit.
    let users = people(&["--password-queue=1"]).await;
    let cid = "cid@example.org";
    let first = users.register_with(cid, PASSWORD, "k1").await;
    let first = first.body["id"].as_str().unwrap();
    let body = json!({ "email": "dan@example.org", "password": PASSWORD, "name": "Dan" });
    let under_way = "idempotency_key_in_progress";
    join_all((0..20).map(|_| async {
        let without_key = users
            .send(Method::POST, "/api/users", Some(&body), &[])
            .await;
        assert_eq!(without_key.code(), "idempotency_key_missing");
        assert_eq!(users.register(ADA, PASSWORD).await.code(), "email_taken");
        let retry = users.register_with(cid, PASSWORD, "k1").await;
        assert!(
            retry.body["id"] == first || retry.code() == under_way,
            "{retry:?}"
        );
        let other = users.register_with(cid, "another password", "k1").await;
        assert!(
            ["idempotency_key_reused", under_way].contains(&other.code()),
            "{other:?}"
        );
        assert_eq!(
            users.log_in("no address", PASSWORD).await.code(),
            "wrong_credentials"
        );
    }))
    .await;
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_hashed_for_a_client_that_has_left() {
    let users = people(&["--password-queue=100"]).await;
    // Each waits in the queue for a while, and hangs up.
    join_all((0..60).map(|n| {
        let users = &users;
        async move {
            let (address, email) = (format!("10.5.{n}.1"), format!("{n}@example.org"));
            let log_in = users.log_in_from(&address, &email, "a guess");
            let _ = tokio::time::timeout(Duration::from_millis(200), log_in).await;
        }
    }))
    .await;
    // A log-in that comes now is served after all of them.
    users.token(BOB, PASSWORD).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let hashed = users
        .sql()
        .await
        .query("SELECT FROM login_failures", &[])
        .await
        .unwrap()
        .len();
    assert!(hashed < 40, "{hashed} of 60 were hashed");
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_bounded_and_purged() {
    let mut users = people(&[]).await;
    let sql = users.sql().await;
    let many = "INSERT INTO login_failures (account, failures, failed_at)
        SELECT sha256(n::text::bytea), 1, now() - n * interval '1 millisecond' FROM
           generate_series(1, 101500) n;
        INSERT INTO login_failures (account, failures, failed_at)
         VALUES ('old', 9, now() - interval '25 hours')";
    sql.batch_execute(many).await.unwrap();
    // At its start, and each minute.
    users.restart().await;
    let left = "SELECT count(*) FROM login_failures WHERE account <> 'old'";
    let old = "SELECT count(*) FROM login_failures WHERE account = 'old'";
    let count = async |query: &str| sql.query_one(query, &[]).await.unwrap().get::<_, i64>(0);
    let deadline = Instant::now() + Duration::from_secs(20);
    while count(left).await > 100_000 || count(old).await > 0 {
        assert!(Instant::now() < deadline, "{} left", count(left).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(count(left).await, 100_000, "the newest stay");
    users.stop().await;
}
