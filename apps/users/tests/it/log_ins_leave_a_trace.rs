use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::fixture::{Fixture, PASSWORD};

const ADA: &str = "ada@example.org";

/// The security log, the oldest entry first.
async fn log(users: &Fixture) -> Vec<Value> {
    let sql = "SELECT to_jsonb(log)::text FROM security_events AS log ORDER BY id";
    let rows = users.sql().await.query(sql, &[]).await.unwrap();
    let entries = rows
        .iter()
        .map(|row| serde_json::from_str(row.get(0)).unwrap());
    entries.collect()
}

fn is(entry: &Value, wanted: &Value) -> bool {
    let mut wanted = wanted.as_object().unwrap().iter();
    wanted.all(|(name, value)| entry[name] == *value)
}

async fn last_is(users: &Fixture, wanted: &Value) {
    let log = log(users).await;
    assert!(
        is(log.last().unwrap(), wanted),
        "{:#} is not {wanted}",
        log.last().unwrap()
    );
}

async fn free(users: &Fixture) {
    let free = "UPDATE login_failures SET blocked_until = now()";
    users.sql().await.batch_execute(free).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_logs_in_and_who_fails_to_is_in_the_log_and_their_secrets_are_not() {
    let users = Fixture::new().await;
    last_is(
        &users,
        &json!({ "kind": "registration", "who": "settings", "what": "the first manager" }),
    )
    .await;
    let id = users.register(ADA, PASSWORD).await.body["id"].clone();
    last_is(
        &users,
        &json!({ "kind": "registration", "whom": id, "outcome": "done" }),
    )
    .await;
    let token = users.token(ADA, PASSWORD).await;
    let wanted = json!({
        "kind": "log_in",
        "who": id,
        "outcome": "done",
        "network": "10.0.0.1",
        "what": "POST /api/sessions",
    });
    last_is(&users, &wanted).await;

    let failed = users.log_in_from("10.0.0.9", ADA, "a guess of hers").await;
    assert_eq!(failed.status, StatusCode::UNAUTHORIZED);
    let trace = &failed.body["trace_id"];
    let wanted = json!({ "kind": "log_in", "who": null, "whom": id, "outcome": "unauthenticated",
        "reason": "wrong_credentials", "network": "10.0.0.9", "trace_id": trace });
    last_is(&users, &wanted).await;
    users.log_in("unknown@example.org", "a guess of hers").await;
    let wanted = json!({ "kind": "log_in", "whom": null, "outcome": "unauthenticated" });
    last_is(&users, &wanted).await;
    let change = json!({ "password": "a second password", "current_password": "a guess of hers" });
    let change = users
        .send_as(&token, Method::PATCH, "/api/users/me", Some(&change))
        .await;
    assert_eq!(change.code(), "wrong_password");
    let wanted =
        json!({ "kind": "password", "who": id, "outcome": "denied", "reason": "wrong_password" });
    last_is(&users, &wanted).await;

    let text = Value::from(log(&users).await).to_string();
    for secret in [
        "example.org",
        "a guess",
        PASSWORD,
        "a second password",
        "eyJ",
    ] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_whose_password_may_be_guessed_is_told_of_once_in_ten_failures() {
    let users = Fixture::new().await;
    let id = users.register(ADA, PASSWORD).await.body["id"].clone();
    for failures in 1..=20 {
        free(&users).await;
        let failed = users
            .log_in_from(&format!("10.3.0.{failures}"), ADA, "a guess")
            .await;
        assert_eq!(failed.code(), "wrong_credentials");
        let log = log(&users).await;
        let guessed = log.iter().filter(|entry| entry["kind"] == "guessing");
        assert_eq!(guessed.count(), failures / 10, "after {failures}");
    }
    let wanted = json!({ "kind": "guessing", "whom": id, "outcome": "unauthenticated" });
    last_is(&users, &wanted).await;
    let metrics = reqwest::get(users.ops_url("/metrics"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let counted = |kind: &str| {
        let labels = [
            format!("kind=\"{kind}\""),
            "outcome=\"unauthenticated\"".to_owned(),
        ];
        let mut lines = metrics.lines();
        let line = lines.find(|line| {
            line.contains("security_events_total")
                && labels.iter().all(|label| line.contains(label))
        });
        line.unwrap().rsplit_once(' ').unwrap().1.to_owned()
    };
    assert_eq!(
        (counted("log_in"), counted("guessing")),
        ("20".to_owned(), "2".to_owned())
    );
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_entries_are_forgotten_a_few_at_a_time_and_none_of_the_last_thirty_days() {
    // The service itself forgets none of these.
    let users = Fixture::with("", &["--security-log-days=3650"]).await;
    let sql = users.sql().await;
    sql.batch_execute(
        "TRUNCATE security_events;
         INSERT INTO security_events (at, kind, what, outcome)
         SELECT now() - make_interval(days => day), 'log_in', day::text, 'done'
         FROM unnest('{1,29,31,40,400}'::int[]) AS day",
    )
    .await
    .unwrap();
    let forget = async |days: i32, batch: i32| -> i64 {
        let row = sql
            .query_one("SELECT security_events_forget($1, $2)", &[&days, &batch])
            .await;
        row.unwrap().get(0)
    };
    assert_eq!(forget(365, 100).await, 1);
    assert_eq!(forget(0, 1).await, 1, "the oldest first");
    assert_eq!(forget(0, 100).await, 1);
    let rows = sql
        .query("SELECT what FROM security_events ORDER BY at", &[])
        .await
        .unwrap();
    let left: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(left, ["29", "1"]);
    users.stop().await;
}
