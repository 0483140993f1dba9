use futures_util::future::join;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::fixture::{Fixture, MANAGER, PASSWORD};

async fn id_of(users: &Fixture, token: &str) -> String {
    let me = users
        .send_as(token, Method::GET, "/api/users/me", None)
        .await;
    me.body["id"].as_str().unwrap().to_owned()
}

async fn give(users: &Fixture, token: &str, id: &str, role: &str) -> (StatusCode, String) {
    let body = json!({ "role": role });
    let answer = users
        .send_as(
            token,
            Method::PUT,
            &format!("/api/users/{id}/role"),
            Some(&body),
        )
        .await;
    (answer.status, answer.code().to_owned())
}

fn refused() -> (StatusCode, String) {
    (StatusCode::CONFLICT, "last_manager".to_owned())
}

/// A new manager: their id and token.
async fn another(users: &Fixture, manager: &str, email: &str) -> (String, String) {
    users.register(email, PASSWORD).await;
    let id = id_of(users, &users.token(email, PASSWORD).await).await;
    assert_eq!(give(users, manager, &id, "manager").await.0, StatusCode::OK);
    (id, users.token(email, PASSWORD).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_manager_cannot_go() {
    let users = Fixture::new().await;
    let first = users.token(MANAGER, PASSWORD).await;
    let first_id = id_of(&users, &first).await;
    for role in ["customer", "courier"] {
        assert_eq!(give(&users, &first, &first_id, role).await, refused());
    }
    let leaves = users
        .send_as(&first, Method::DELETE, "/api/users/me", None)
        .await;
    assert_eq!(
        (leaves.status, leaves.code()),
        (StatusCode::CONFLICT, "last_manager")
    );
    assert_eq!(
        give(&users, &first, &first_id, "manager").await.0,
        StatusCode::OK,
        "nothing is taken"
    );

    let (second_id, second) = another(&users, &first, "second@example.org").await;
    assert_eq!(
        give(&users, &second, &first_id, "customer").await.0,
        StatusCode::OK
    );
    assert_eq!(
        give(&users, &second, &second_id, "customer").await,
        refused()
    );
    let first = users.token(MANAGER, PASSWORD).await;
    let leaves = users
        .send_as(&first, Method::DELETE, "/api/users/me", None)
        .await;
    assert_eq!(
        leaves.status,
        StatusCode::NO_CONTENT,
        "who is no manager any more"
    );
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_managers_who_go_at_the_same_time_one_stays() {
    let users = Fixture::new().await;
    let mut one = users.token(MANAGER, PASSWORD).await;
    let mut one_id = id_of(&users, &one).await;
    for round in 0..10 {
        let email = format!("manager-{round}@example.org");
        let (other_id, other) = another(&users, &one, &email).await;
        let leave = async |token: &str| {
            let left = users
                .send_as(token, Method::DELETE, "/api/users/me", None)
                .await;
            (left.status, left.code().to_owned())
        };
        let (first, second) = if round % 2 == 0 {
            // Each takes the role from the other.
            join(
                give(&users, &one, &other_id, "customer"),
                give(&users, &other, &one_id, "customer"),
            )
            .await
        } else {
            join(leave(&one), give(&users, &other, &other_id, "courier")).await
        };
        let went = [&first, &second]
            .iter()
            .filter(|went| went.0.is_success())
            .count();
        assert_eq!(went, 1, "{first:?} {second:?}");
        // A manager who lost the role to the other one cannot act any more.
        let outdated = (StatusCode::UNAUTHORIZED, "token_outdated".to_owned());
        let late = if round % 2 == 0 { outdated } else { refused() };
        assert!(first == late || second == late, "{first:?} {second:?}");
        let managers = users
            .sql()
            .await
            .query("SELECT id FROM users WHERE role = 'manager'", &[])
            .await
            .unwrap();
        assert_eq!(managers.len(), 1);
        let stays: uuid::Uuid = managers[0].get(0);
        if stays.to_string() == other_id {
            (one, one_id) = (other, other_id);
        }
    }
    users.stop().await;
}
