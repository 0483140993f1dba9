use futures_util::future::join_all;
use reqwest::{Method, StatusCode};

use crate::fixture::{Fixture, PASSWORD, bearer, refresh_token};

const ADA: &str = "ada@example.org";
const VOID: &str = "users.tokens_void.v1";

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_by_refresh_tokens_of_one_use() {
    let users = Fixture::new().await;
    users.register(ADA, PASSWORD).await;
    let mut session = users.log_in(ADA, PASSWORD).await;
    let person = users.id_of(&bearer(&session)).await;
    assert_eq!(session.body["expires_in"], 600);
    assert_eq!(session.body["refresh_expires_in"], 30 * 24 * 3600);
    for _ in 0..5 {
        let next = users.refresh(&refresh_token(&session)).await;
        assert_ne!(refresh_token(&next), refresh_token(&session));
        assert_eq!(users.id_of(&bearer(&next)).await, person);
        session = next;
    }
    // The database holds no secret.
    let (_, secret) = session.body["refresh_token"].as_str().unwrap().split_at(22);
    let kept = users
        .sql()
        .await
        .query_one("SELECT string_agg(s::text, '') FROM sessions s", &[])
        .await
        .unwrap();
    assert!(!kept.get::<_, String>(0).contains(secret));
    for nonsense in ["", "x", &"A".repeat(107)] {
        let refused = users.refresh(nonsense).await;
        let refusal = (refused.status, refused.code());
        assert_eq!(refusal, (StatusCode::UNAUTHORIZED, "refresh_token_invalid"));
    }
    assert_eq!(users.told(VOID, &person).await, 0);
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_the_answer_asks_again() {
    let users = Fixture::new().await;
    users.register(ADA, PASSWORD).await;
    let first = refresh_token(&users.log_in(ADA, PASSWORD).await);
    let answers = join_all((0..10).map(|_| users.refresh(&first))).await;
    let second = refresh_token(&answers[0]);
    assert!(
        answers.iter().all(|answer| refresh_token(answer) == second),
        "the same outcome for all"
    );
    // From here on the answer counts as received.
    let third = refresh_token(&users.refresh(&second).await);
    assert_eq!(refresh_token(&users.refresh(&second).await), third);
    assert_eq!(users.refresh(&third).await.status, StatusCode::OK);
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_use_of_a_refresh_token_ends_its_session() {
    let users = Fixture::new().await;
    users.register(ADA, PASSWORD).await;
    // A second use of a token whose successor was used, and of one that is too old for a retry.
    for is_late in [false, true] {
        let elsewhere = users.log_in(ADA, PASSWORD).await;
        let stolen = refresh_token(&users.log_in(ADA, PASSWORD).await);
        let mut newest = users.refresh(&stolen).await;
        let person = users.id_of(&bearer(&newest)).await;
        if is_late {
            let late = "UPDATE sessions SET used_at = used_at - interval '61 seconds'";
            users.sql().await.execute(late, &[]).await.unwrap();
        } else {
            newest = users.refresh(&refresh_token(&newest)).await;
        }
        let told = users.told(VOID, &person).await;
        let reused = users.refresh(&stolen).await;
        assert_eq!(
            (reused.status, reused.code()),
            (StatusCode::UNAUTHORIZED, "refresh_token_reused")
        );
        let ended = users.refresh(&refresh_token(&newest)).await;
        assert_eq!(ended.code(), "refresh_token_invalid");
        let void = users
            .send_as(&bearer(&newest), Method::GET, "/api/users/me", None)
            .await;
        assert_eq!(
            (void.status, void.code()),
            (StatusCode::UNAUTHORIZED, "token_outdated")
        );
        assert_eq!(
            users.told(VOID, &person).await,
            told + 1,
            "the others are told"
        );
        // Another session is another family.
        let goes_on = users.refresh(&refresh_token(&elsewhere)).await;
        assert_eq!(users.id_of(&bearer(&goes_on)).await, person);
    }
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_so_many_sessions_and_the_one_ends_that_was_idle_for_longest() {
    let users = Fixture::new().await;
    users.register(ADA, PASSWORD).await;
    let first = users.log_in(ADA, PASSWORD).await;
    let second = users.log_in(ADA, PASSWORD).await;
    for _ in 0..18 {
        users.log_in(ADA, PASSWORD).await;
    }
    let first = users.refresh(&refresh_token(&first)).await;
    let newest = users.log_in(ADA, PASSWORD).await;
    let ended = users.refresh(&refresh_token(&second)).await;
    assert_eq!(ended.code(), "refresh_token_invalid");
    users.id_of(&bearer(&first)).await;
    let listed = users
        .send_as(
            &bearer(&newest),
            Method::GET,
            "/api/sessions?limit=100",
            None,
        )
        .await;
    assert_eq!(listed.body["items"].as_array().unwrap().len(), 20);
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_not_used_ends() {
    let users = Fixture::with("", &["--session-idle-days=1"]).await;
    users.register(ADA, PASSWORD).await;
    let session = users.log_in(ADA, PASSWORD).await;
    assert_eq!(session.body["refresh_expires_in"], 24 * 3600);
    let days = "UPDATE sessions SET expires_at = expires_at - interval '25 hours'";
    users.sql().await.execute(days, &[]).await.unwrap();
    let ended = users.refresh(&refresh_token(&session)).await;
    assert_eq!(ended.code(), "refresh_token_invalid");
    let void = users
        .send_as(&bearer(&session), Method::GET, "/api/users/me", None)
        .await;
    assert_eq!(void.code(), "token_outdated");
    users.stop().await;
}

/// A session that is used all the time would otherwise never ask for the password again.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_so_many_days_after_its_password_was_typed() {
    let users = Fixture::with("", &["--session-days=2"]).await;
    users.register(ADA, PASSWORD).await;
    let session = users.log_in(ADA, PASSWORD).await;
    assert_eq!(session.body["refresh_expires_in"], 2 * 24 * 3600);
    let sql = users.sql().await;
    let typed_before =
        "UPDATE sessions SET authenticated_at = authenticated_at - interval '47 hours'";
    sql.execute(typed_before, &[]).await.unwrap();
    let session = users.refresh(&refresh_token(&session)).await;
    let left = session.body["refresh_expires_in"].as_i64().unwrap();
    assert!((3_000..=3_600).contains(&left), "{left} s are left");
    sql.execute(typed_before, &[]).await.unwrap();
    let ended = users.refresh(&refresh_token(&session)).await;
    assert_eq!(ended.code(), "refresh_token_invalid");
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_where_they_are_logged_in() {
    let users = Fixture::new().await;
    users.register(ADA, PASSWORD).await;
    users.register("bob@example.org", PASSWORD).await;
    users.log_in("bob@example.org", PASSWORD).await;
    let long = format!("A phone {}", "x".repeat(300));
    let body = serde_json::json!({ "email": ADA, "password": PASSWORD });
    let headers = [
        ("X-Forwarded-For", "2001:db8:1:2:3:4:5:6"),
        ("User-Agent", &*long),
    ];
    let there = users
        .send(Method::POST, "/api/sessions", Some(&body), &headers)
        .await;
    let here = users.log_in_from("192.0.2.7", ADA, PASSWORD).await;
    let listed = users
        .send_as(&bearer(&here), Method::GET, "/api/sessions", None)
        .await;
    let items = listed.body["items"].as_array().unwrap();
    let seen: Vec<_> = items
        .iter()
        .map(|item| {
            (
                item["current"].as_bool().unwrap(),
                item["network"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(seen, [(true, "192.0.2.7"), (false, "2001:db8:1:2::")]);
    let user_agent = items[1]["user_agent"].as_str().unwrap();
    assert!(
        user_agent.starts_with("A phone x") && user_agent.len() == 200,
        "{user_agent}"
    );
    assert!(!listed.body.to_string().contains("hash"));
    users.id_of(&bearer(&there)).await;
    users.stop().await;
}
