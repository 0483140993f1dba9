use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::fixture::{Answer, Fixture, MANAGER, PASSWORD, bearer, refresh_token};

const EVE: &str = "eve@example.org";
const VOID: &str = "users.tokens_void.v1";

fn refusal(answer: &Answer) -> (StatusCode, String) {
    (answer.status, answer.code().to_owned())
}

fn outdated() -> (StatusCode, String) {
    (StatusCode::UNAUTHORIZED, "token_outdated".to_owned())
}

/// The first manager's token, and the session and id of Eve, another manager.
async fn two_managers(users: &Fixture) -> (String, Answer, String) {
    users.register(EVE, PASSWORD).await;
    let id = users.id_of(&users.token(EVE, PASSWORD).await).await;
    let manager = users.token(MANAGER, PASSWORD).await;
    let made = users.give(&manager, &id, "role", "manager").await;
    assert_eq!(made.status, StatusCode::OK);
    (manager, users.log_in(EVE, PASSWORD).await, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demoted_manager_cannot_promote_anyone() {
    let users = Fixture::new().await;
    let (manager, eve, id) = two_managers(&users).await;
    let seen = users
        .send_as(
            &bearer(&eve),
            Method::GET,
            &format!("/api/users/{id}"),
            None,
        )
        .await;
    assert_eq!(seen.status, StatusCode::OK);
    let told = users.told(VOID, &id).await;
    let demoted = users.give(&manager, &id, "role", "customer").await;
    assert_eq!(demoted.status, StatusCode::OK);
    assert_eq!(users.told(VOID, &id).await, told + 1);
    users.give(&manager, &id, "role", "customer").await;
    assert_eq!(users.told(VOID, &id).await, told + 1, "nothing was changed");
    let ways = [("role", "manager"), ("status", "active")];
    for (what, value) in ways {
        let refused = users.give(&bearer(&eve), &id, what, value).await;
        assert_eq!(refusal(&refused), outdated());
    }
    // A new token has the new role.
    let eve = users.refresh(&refresh_token(&eve)).await;
    for (what, value) in ways {
        let refused = users.give(&bearer(&eve), &id, what, value).await;
        assert_eq!(
            refusal(&refused),
            (StatusCode::FORBIDDEN, "role_denied".to_owned())
        );
    }
    let me = users
        .send_as(&bearer(&eve), Method::GET, "/api/users/me", None)
        .await;
    assert_eq!(me.body["role"], "customer");
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_who_has_left_cannot_promote_anyone() {
    let users = Fixture::new().await;
    let (_, eve, _) = two_managers(&users).await;
    users.register("second@example.org", PASSWORD).await;
    let second = users
        .id_of(&users.token("second@example.org", PASSWORD).await)
        .await;
    let leave = async || {
        users
            .send_as(&bearer(&eve), Method::DELETE, "/api/users/me", None)
            .await
            .status
    };
    assert_eq!(leave().await, StatusCode::NO_CONTENT);
    assert_eq!(
        leave().await,
        StatusCode::NO_CONTENT,
        "once more changes nothing"
    );
    let refused = users.give(&bearer(&eve), &second, "role", "manager").await;
    assert_eq!(refusal(&refused), outdated());
    let ended = users.refresh(&refresh_token(&eve)).await;
    assert_eq!(ended.code(), "refresh_token_invalid");
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_suspended_is_told_so_by_the_right_password_only() {
    let users = Fixture::new().await;
    let (manager, eve, id) = two_managers(&users).await;
    let suspended = users.give(&manager, &id, "status", "suspended").await;
    assert_eq!(
        (suspended.status, &suspended.body["status"]),
        (StatusCode::OK, &json!("suspended"))
    );
    assert_eq!(
        refusal(&users.give(&bearer(&eve), &id, "status", "active").await),
        outdated()
    );
    assert_eq!(
        users.refresh(&refresh_token(&eve)).await.code(),
        "refresh_token_invalid"
    );
    assert_eq!(
        users.log_in(EVE, "a guess").await.code(),
        "wrong_credentials"
    );
    let right = users.log_in(EVE, PASSWORD).await;
    assert_eq!(
        refusal(&right),
        (StatusCode::FORBIDDEN, "account_suspended".to_owned())
    );
    // A suspended manager does not count.
    let manager_id = users.id_of(&manager).await;
    for (what, value) in [("status", "suspended"), ("role", "customer")] {
        let last = users.give(&manager, &manager_id, what, value).await;
        assert_eq!(
            refusal(&last),
            (StatusCode::CONFLICT, "last_manager".to_owned())
        );
    }
    let back = users.give(&manager, &id, "status", "active").await;
    assert_eq!(back.body["status"], "active");
    let eve = users.token(EVE, PASSWORD).await;
    let suspended = users.give(&eve, &manager_id, "status", "suspended").await;
    assert_eq!(suspended.status, StatusCode::OK);
    users.stop().await;
}

/// On each route that takes a token, the caller's row decides, not the token's claims.
#[tokio::test(flavor = "multi_thread")]
async fn no_route_believes_a_token_whose_session_has_ended() {
    let users = Fixture::new().await;
    let (_, eve, _) = two_managers(&users).await;
    let token = bearer(&eve);
    let end = "DELETE FROM sessions WHERE user_id = (SELECT id FROM users WHERE email = $1)";
    users.sql().await.execute(end, &[&EVE]).await.unwrap();
    let page = users.send(Method::GET, "/openapi.json", None, &[]).await;
    let mut asked = 0;
    for (path, item) in page.body["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if !operation["security"].is_array() {
                continue;
            }
            let path = path.replace("{id}", &uuid::Uuid::nil().to_string());
            let body = match path.rsplit('/').next() {
                Some("role") => json!({ "role": "manager" }),
                Some("status") => json!({ "status": "active" }),
                _ => json!({ "name": "Eve" }),
            };
            let body: Option<&Value> = operation["requestBody"].is_object().then_some(&body);
            let method: Method = method.to_uppercase().parse().unwrap();
            let answer = users.send_as(&token, method.clone(), &path, body).await;
            let wanted = if path == "/api/sessions/current" {
                // As they wish.
                (StatusCode::NO_CONTENT, String::new())
            } else {
                outdated()
            };
            assert_eq!(refusal(&answer), wanted, "{method} {path}");
            asked += 1;
        }
    }
    assert_eq!(asked, 9);
    users.stop().await;
}
