//! Whose tokens do not count any more is known in every service within seconds, and money leaves
//! after a fresh log-in only.

use std::{collections::BTreeSet, time::Duration};

use contracts::users::TokensVoid;
use db::{Db, DbSettings};
use futures_util::StreamExt;
use outbox::PublishError;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tovar::client::{Client, wait_for};
use uuid::Uuid;

use crate::harness::{Catalogue, MustSucceed, SERVICES, Store, WITHIN, operations};

/// When the event has arrived, each replica knows of it.
const SECONDS: Duration = Duration::from_secs(10);
const OUTDATED: (StatusCode, Option<&str>) = (StatusCode::UNAUTHORIZED, Some("token_outdated"));

async fn id_of(client: &Client) -> String {
    let me = client.ok_get("/api/users/me").await;
    me["id"].as_str().unwrap().to_owned()
}

/// With the access token as it is now, which is not refreshed.
fn fixed(store: &Store, client: &Client) -> Client {
    store.guest.with_token(&client.tokens().unwrap().access)
}

/// Waits until each service that hears of it by events refuses the caller's token.
async fn until_void_everywhere(caller: &Client) {
    for path in [
        "/api/account",
        "/api/orders",
        "/api/goods/tea/movements",
        "/api/deliveries",
        "/api/notifications",
    ] {
        wait_for(
            &format!("the token to be void for {path}"),
            SECONDS,
            async || {
                let answer = caller.get(path).await?;
                Ok((answer.status, answer.code()) == OUTDATED)
            },
        )
        .await
        .unwrap();
    }
}

async fn set(store: &Store, person: &str, what: &str, value: &str) {
    let path = format!("/api/users/{person}/{what}");
    store.manager.ok_put(&path, &json!({ what: value })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demoted_manager_is_refused_at_once_in_users_and_within_seconds_elsewhere() {
    let store = Store::start().await;
    Catalogue::open(&store, 10, 5).await;
    let eve = store.new_user("manager").await;
    let (old, person) = (fixed(&store, &eve), id_of(&eve).await);
    let price = async |caller: &Client| {
        let goods = json!({ "name": "Tea", "price": 1 });
        caller.put("/api/goods/tea", &goods).await.unwrap()
    };
    assert_eq!(price(&old).await.status, StatusCode::OK);
    set(&store, &person, "role", "customer").await;
    let promoted = old
        .put(
            &format!("/api/users/{person}/role"),
            &json!({ "role": "manager" }),
        )
        .await
        .unwrap();
    assert_eq!((promoted.status, promoted.code()), OUTDATED);
    wait_for("the warehouse to hear of it", SECONDS, async || {
        let answer = price(&old).await;
        Ok((answer.status, answer.code()) == OUTDATED)
    })
    .await
    .unwrap();
    // The session goes on, with the role that there is now.
    let refused = price(&eve).await;
    assert_eq!(
        (refused.status, refused.code()),
        (StatusCode::FORBIDDEN, Some("role_denied"))
    );
    assert_eq!(
        eve.get("/api/users/me").await.unwrap().body["role"],
        json!("customer")
    );
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_suspended_is_refused_on_every_route_within_seconds() {
    let store = Store::start().await;
    let (email, password, person) = store.guest.register("Eve").await.unwrap();
    let eve = store
        .guest
        .customer(&email, &password, 1_000)
        .await
        .unwrap();
    let old = fixed(&store, &eve);
    set(
        &store,
        person["id"].as_str().unwrap(),
        "status",
        "suspended",
    )
    .await;
    let at_once = old.get("/api/users/me").await.unwrap();
    assert_eq!((at_once.status, at_once.code()), OUTDATED);
    until_void_everywhere(&old).await;
    let all = operations(&store).await.into_iter();
    for operation in all.filter(|operation| operation.takes_token) {
        for caller in [&old, &eve] {
            let answer = operation.send_somewhere(caller).await;
            let is_logged_out = operation.name() == "DELETE /api/sessions/current";
            let wanted = if is_logged_out {
                (StatusCode::NO_CONTENT, None)
            } else {
                OUTDATED
            };
            assert_eq!(
                (answer.status, answer.code()),
                wanted,
                "{}",
                operation.name()
            );
        }
    }
    let credentials = json!({ "email": email, "password": password });
    let refused = store
        .guest
        .post("/api/sessions", &credentials)
        .await
        .unwrap();
    assert_eq!(
        (refused.status, refused.code()),
        (StatusCode::FORBIDDEN, Some("account_suspended"))
    );
    set(&store, person["id"].as_str().unwrap(), "status", "active").await;
    let again = store.guest.log_in(&email, &password).await.unwrap();
    let account = again.ok_get("/api/account").await;
    assert_eq!(account["available"], 1_000);
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_out_counts_everywhere_and_other_sessions_go_on() {
    let store = Store::start().await;
    let (email, password, _) = store.guest.register("Ada").await.unwrap();
    let here = store.guest.customer(&email, &password, 0).await.unwrap();
    let there = store.guest.log_in(&email, &password).await.unwrap();
    let stolen = fixed(&store, &here);
    let left = here
        .send(Method::DELETE, "/api/sessions/current", None, None)
        .await
        .unwrap();
    assert_eq!(left.status, StatusCode::NO_CONTENT);
    until_void_everywhere(&stolen).await;
    until_void_everywhere(&here).await;
    for path in [
        "/api/account",
        "/api/orders",
        "/api/notifications",
        "/api/users/me",
    ] {
        assert_eq!(
            there.get(path).await.unwrap().status,
            StatusCode::OK,
            "{path}"
        );
    }
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn money_leaves_and_an_account_is_deleted_after_a_fresh_log_in_only() {
    let store = Store::start().await;
    let (email, password, _) = store.guest.register("Ada").await.unwrap();
    let ada = store
        .guest
        .customer(&email, &password, 1_000)
        .await
        .unwrap();
    // Like a token that was stolen and has been refreshed since.
    let earlier = "UPDATE sessions SET authenticated_at = now() - interval '301 seconds' WHERE id \
        = $1::text::uuid";
    let sessions = ada.ok_get("/api/sessions").await;
    let session = sessions["items"][0]["id"].as_str().unwrap();
    let changed = store.sql("users").await.execute(earlier, &[&session]).await;
    assert_eq!(changed.unwrap(), 1);
    let refresh = json!({ "refresh_token": ada.tokens().unwrap().refresh.unwrap() });
    let refreshed = store.guest.ok_post("/api/sessions/refresh", &refresh).await;
    let token = refreshed["access_token"].clone();
    let stale = store.guest.with_token(token.as_str().unwrap());
    let refusal = (StatusCode::FORBIDDEN, Some("fresh_login_required"));
    let mut asked = BTreeSet::new();
    let all = operations(&store).await.into_iter();
    for operation in all.filter(|operation| operation.takes_token && operation.method != "delete") {
        let answer = operation.send_somewhere(&stale).await;
        let is_refused = (answer.status, answer.code()) == refusal;
        assert_eq!(
            is_refused,
            operation.needs_fresh_login,
            "{}",
            operation.name()
        );
    }
    let fresh = operations(&store).await.into_iter();
    asked.extend(
        fresh
            .filter(|operation| operation.needs_fresh_login)
            .map(|operation| operation.name()),
    );
    let wanted = ["DELETE /api/users/me", "POST /api/account/withdrawals"];
    assert_eq!(asked, wanted.map(ToOwned::to_owned).into());
    let left = stale
        .send(Method::DELETE, "/api/users/me", None, None)
        .await
        .unwrap();
    assert_eq!((left.status, left.code()), refusal);
    let told = left.body["detail"].as_str().unwrap();
    assert!(
        told.contains("log in again with POST /api/sessions"),
        "{told}"
    );
    let account = ada.ok_get("/api/account").await;
    assert_eq!(
        account["available"], 1_001,
        "what was brought on the way, and nothing taken"
    );

    // The same request, under the same key, by a user who has just logged in.
    let fresh = store.guest.log_in(&email, &password).await.unwrap();
    let amount = json!({ "amount": 400 });
    let withdraw = async |caller: &Client| {
        let answer = caller.send(
            Method::POST,
            "/api/account/withdrawals",
            Some(&amount),
            Some("w"),
        );
        answer.await.unwrap()
    };
    assert_eq!(withdraw(&stale).await.code(), Some("fresh_login_required"));
    assert_eq!(withdraw(&fresh).await.success().unwrap()["available"], 601);
    let left = fresh
        .send(Method::DELETE, "/api/users/me", None, None)
        .await
        .unwrap();
    assert_eq!(left.status, StatusCode::NO_CONTENT);
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_greatest_generation_counts_in_whatever_order_they_are_told() {
    let store = Store::start().await;
    let users = Db::open(
        &DbSettings::new(&store.databases["users"].service),
        "sessions",
    )
    .await
    .unwrap();
    let person: kernel::UserId = Uuid::now_v7().to_string().parse().unwrap();
    for generation in [2, 7, 5, 7, 1] {
        let event = TokensVoid {
            user_id: person,
            generation,
        };
        let told = users
            .transaction("sessions.tell", async |tx| -> Result<Uuid, PublishError> {
                outbox::publish(tx, &event)
            })
            .await
            .unwrap();
        for service in SERVICES.into_iter().filter(|service| *service != "users") {
            let sql = store.sql(service).await;
            wait_for(&format!("{service} to hear it"), WITHIN, async || {
                let heard = "SELECT FROM inbox WHERE event_id = $1";
                Ok(sql.query_opt(heard, &[&told]).await?.is_some())
            })
            .await
            .unwrap();
        }
    }
    for service in SERVICES.into_iter().filter(|service| *service != "users") {
        let kept = "SELECT generation FROM void_tokens WHERE user_id = $1";
        let kept = store
            .sql(service)
            .await
            .query_one(kept, &[&person.uuid()])
            .await;
        assert_eq!(kept.unwrap().get::<_, i64>(0), 7, "{service}");
    }
    store.stop().await;
}

/// One replica has the partition, and all replicas must learn of the event.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_learns_what_another_one_has_heard() {
    let mut store = Store::start().await;
    let ada = store.guest.new_customer(0).await.unwrap();
    let (old, person) = (fixed(&store, &ada), id_of(&ada).await);
    let heard = "INSERT INTO void_tokens (user_id, generation) VALUES ($1::text::uuid, 1)";
    store
        .sql("notifications")
        .await
        .execute(heard, &[&person])
        .await
        .unwrap();
    let outdated = async || {
        let answer = old.get("/api/notifications").await?;
        Ok((answer.status, answer.code()) == OUTDATED)
    };
    wait_for("the replica to learn it", Duration::from_secs(3), outdated)
        .await
        .unwrap();
    // A replica that starts knows it before its first request.
    store.stop_service("notifications").await;
    store.start_service("notifications").await;
    assert!(outdated().await.unwrap());
    assert_eq!(
        old.get("/api/account").await.unwrap().status,
        StatusCode::OK
    );
    let over = "UPDATE void_tokens SET heard_at = now() - interval '26 hours'";
    store
        .sql("notifications")
        .await
        .execute(over, &[])
        .await
        .unwrap();
    store.stop_service("notifications").await;
    store.start_service("notifications").await;
    assert_eq!(
        old.get("/api/notifications").await.unwrap().status,
        StatusCode::OK,
        "it is forgotten when no such token can live"
    );
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_callers_token() {
    // When it expires, and when it is void.
    for (lifetime, is_suspended) in [
        ("--token-lifetime=6", false),
        ("--token-lifetime=600", true),
    ] {
        let mut store = Store::start_with(&[("users", &[lifetime])]).await;
        let catalogue = Catalogue::open(&store, 10, 5).await;
        let ada = store.guest.new_customer(5_000).await.unwrap();
        let person = id_of(&ada).await;
        store.stop_service("warehouse").await;
        let order = catalogue.place(&ada, &catalogue.order(1)).await;
        let path = format!("/api/orders/{order}/events");
        let stream = ada.stream(&path, None).await.unwrap();
        assert_eq!(stream.status(), StatusCode::OK);
        if is_suspended {
            set(&store, &person, "status", "suspended").await;
        }
        let mut chunks = stream.bytes_stream();
        let ended = tokio::time::timeout(SECONDS, async { while chunks.next().await.is_some() {} });
        ended.await.expect("the stream ends");
        store.start_service("warehouse").await;
        store.stop().await;
    }
}
