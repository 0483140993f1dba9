//! Every operation of every OpenAPI page, asked by callers who may not use it: without an account,
//! with every wrong role, and as another person.

use reqwest::StatusCode;
use serde_json::json;
use tovar::client::{Answer, Client};

use crate::harness::{Catalogue, MustSucceed, Operation, Store, body_of, operations};

/// The callers who may use an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    Anyone,
    /// A user who is logged in, for what is their own.
    Owner,
    Manager,
    CourierOrManager,
}

pub fn who_may(operation: &Operation) -> Who {
    match (operation.method.as_str(), operation.path.as_str()) {
        ("post", "/api/users" | "/api/sessions" | "/api/sessions/refresh")
        | (
            "get",
            "/.well-known/jwks.json"
            | "/api/goods"
            | "/api/goods/{sku}"
            | "/api/zones"
            | "/api/zones/{zone}/slots",
        ) => Who::Anyone,
        (_, "/api/users/me")
        | ("get" | "delete", "/api/sessions")
        | ("delete", "/api/sessions/current")
        | (
            "get",
            "/api/account"
            | "/api/account/entries"
            | "/api/orders"
            | "/api/orders/{id}"
            | "/api/orders/{id}/events"
            | "/api/notifications",
        )
        | (
            "post",
            "/api/account/top-ups"
            | "/api/account/withdrawals"
            | "/api/orders"
            | "/api/orders/{id}/cancellation",
        ) => Who::Owner,
        ("get", "/api/users/{id}" | "/api/accounts/{user_id}" | "/api/goods/{sku}/movements")
        | (
            "put",
            "/api/users/{id}/role"
            | "/api/users/{id}/status"
            | "/api/goods/{sku}"
            | "/api/zones/{zone}",
        )
        | (
            "post",
            "/api/orders/{id}/stop"
            | "/api/orders/{id}/verdict"
            | "/api/goods/{sku}/receipts"
            | "/api/zones/{zone}/slots",
        ) => Who::Manager,
        ("get", "/api/deliveries")
        | ("put" | "delete", "/api/deliveries/{order_id}/courier")
        | ("post", "/api/deliveries/{order_id}/outcome") => Who::CourierOrManager,
        _ => panic!("{}: say here who may use it", operation.name()),
    }
}

/// What belongs to Ada.
struct Hers {
    order: String,
    user: String,
}

async fn send(caller: &Client, operation: &Operation, hers: &Hers) -> Answer {
    let path = operation
        .path
        .replace("{order_id}", &hers.order)
        .replace("{user_id}", &hers.user);
    let id = if path.starts_with("/api/users/") {
        &hers.user
    } else {
        &hers.order
    };
    let path = path
        .replace("{id}", id)
        .replace("{sku}", "tea")
        .replace("{zone}", "lockers");
    let body = operation.takes_body.then(|| body_of(operation));
    let key = uuid::Uuid::new_v4().to_string();
    let key = operation.takes_key.then_some(key.as_str());
    caller
        .send(operation.method(), &path, body.as_ref(), key)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_uses_what_is_not_for_them() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let ada = store.guest.new_customer(5_000).await.unwrap();
    let order = catalogue.place(&ada, &catalogue.order(1)).await;
    ada.finished(&order, crate::harness::WITHIN).await.unwrap();
    let me = ada.ok_get("/api/users/me").await;
    let hers = Hers {
        order,
        user: me["id"].as_str().unwrap().to_owned(),
    };
    let (eve, courier) = (
        store.guest.new_customer(0).await.unwrap(),
        store.new_user("courier").await,
    );
    for operation in operations(&store).await {
        let name = operation.name();
        let who = who_may(&operation);
        assert_eq!(
            operation.takes_token,
            who != Who::Anyone,
            "{name}: its page says otherwise"
        );
        let refused = async |caller: &Client, status, code| {
            let answer = send(caller, &operation, &hers).await;
            assert_eq!(
                (answer.status, answer.code()),
                (status, Some(code)),
                "{name}"
            );
        };
        if who != Who::Anyone {
            refused(&store.guest, StatusCode::UNAUTHORIZED, "token_missing").await;
        }
        match who {
            Who::Manager => {
                refused(&eve, StatusCode::FORBIDDEN, "role_denied").await;
                refused(&courier, StatusCode::FORBIDDEN, "role_denied").await;
            }
            Who::CourierOrManager => refused(&eve, StatusCode::FORBIDDEN, "role_denied").await,
            // Ada's order does not exist for Eve and for the manager.
            Who::Owner if operation.path.contains("{id}") => {
                refused(&eve, StatusCode::NOT_FOUND, "unknown_order").await;
                refused(&store.manager, StatusCode::NOT_FOUND, "unknown_order").await;
            }
            Who::Owner | Who::Anyone => {}
        }
    }
    let goods = store.guest.ok_get("/api/goods/tea").await;
    assert_eq!(
        (&goods["name"], &goods["available"]),
        (&json!("Tea"), &json!(9))
    );
    store.stop().await;
}
