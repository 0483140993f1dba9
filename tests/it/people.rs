use reqwest::{Method, StatusCode};
use serde_json::json;
use tovar::client::{Client, wait_for};
use uuid::Uuid;

use crate::harness::{Catalogue, MustSucceed, Store, WITHIN, wait_for_status};

const PASSWORD: &str = "the first password";

async fn register(store: &Store) -> (String, Client) {
    let email = format!("{}@example.org", Uuid::new_v4());
    let person = json!({ "email": email, "password": PASSWORD, "name": "Ada" });
    store.guest.ok_post("/api/users", &person).await;
    let client = store.guest.log_in(&email, PASSWORD).await.unwrap();
    (email, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_changed_by_who_knows_the_password_and_the_version() {
    let store = Store::start().await;
    let (email, ada) = register(&store).await;
    let patch = async |body, etag: Option<&str>| {
        let headers: Vec<_> = etag.iter().map(|etag| ("If-Match", *etag)).collect();
        ada.send_with(Method::PATCH, "/api/users/me", Some(&body), &headers)
            .await
            .unwrap()
    };
    let me = ada.get("/api/users/me").await.unwrap();
    let etag = me.headers["etag"].to_str().unwrap().to_owned();
    let renamed = patch(json!({ "name": "Ada Lovelace" }), Some(&etag)).await;
    assert_eq!(
        (renamed.status, &renamed.body["name"]),
        (StatusCode::OK, &json!("Ada Lovelace"))
    );
    let lost = patch(json!({ "name": "Somebody else" }), Some(&etag)).await;
    assert_eq!(
        (lost.status, lost.code()),
        (StatusCode::PRECONDITION_FAILED, Some("precondition_failed"))
    );

    let missing = patch(json!({ "password": "another password" }), None).await;
    assert_eq!(missing.code(), Some("current_password_missing"));
    let wrong = json!({ "password": "another password", "current_password": "a guess" });
    assert_eq!(patch(wrong, None).await.code(), Some("wrong_password"));
    let change = json!({ "password": "another password", "current_password": PASSWORD });
    assert_eq!(patch(change.clone(), None).await.status, StatusCode::OK);
    assert_eq!(
        patch(change, None).await.status,
        StatusCode::OK,
        "a retry has the same effect"
    );
    assert!(store.guest.log_in(&email, PASSWORD).await.is_err());
    store
        .guest
        .log_in(&email, "another password")
        .await
        .unwrap();
    let me = ada.ok_get("/api/users/me").await;
    assert_eq!(me["name"], "Ada Lovelace");
    store.stop().await;
}

/// Hashing a password takes long, and the user may change meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn who_names_no_version_is_not_refused_for_one() {
    let store = Store::start().await;
    let (email, ada) = register(&store).await;
    let patch = async |body| {
        let answer = ada.send_with(Method::PATCH, "/api/users/me", Some(&body), &[]);
        answer.await.unwrap()
    };
    let mut current = PASSWORD.to_owned();
    for round in 0..5 {
        let next = format!("password {round}");
        let (change, rename) = (
            json!({ "password": next, "current_password": current }),
            async || {
                for number in 0..10 {
                    let renamed = patch(json!({ "name": format!("Ada {round}.{number}") })).await;
                    assert_eq!(renamed.status, StatusCode::OK, "{:?}", renamed.body);
                }
            },
        );
        let (changed, ()) = tokio::join!(patch(change), rename());
        assert_eq!(changed.status, StatusCode::OK, "{:?}", changed.body);
        let me = ada.ok_get("/api/users/me").await;
        assert_eq!(me["name"], format!("Ada {round}.9"), "no name is lost");
        current = next;
    }
    // Of two passwords one is set, and the other one's caller no longer knows the current one.
    let race = |next: &str| patch(json!({ "password": next, "current_password": current }));
    let (one, other) = tokio::join!(race("the one password"), race("the other password"));
    let mut codes = [
        one.code().map(ToOwned::to_owned),
        other.code().map(ToOwned::to_owned),
    ];
    codes.sort();
    assert_eq!(codes, [None, Some("wrong_password".to_owned())]);
    let set = if one.status == StatusCode::OK {
        "the one password"
    } else {
        "the other password"
    };
    store.guest.log_in(&email, set).await.unwrap();
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_changed_by_the_manager_who_knows_the_version() {
    let store = Store::start().await;
    let (_, ada) = register(&store).await;
    let me = ada.ok_get("/api/users/me").await;
    let manager = &store.manager;
    let person = format!("/api/users/{}", me["id"].as_str().unwrap());
    let seen = manager.get(&person).await.unwrap();
    let etag = seen.headers["etag"].to_str().unwrap().to_owned();
    let put = async |role: &str| {
        let (path, body) = (format!("{person}/role"), json!({ "role": role }));
        let headers = [("If-Match", etag.as_str())];
        manager
            .send_with(Method::PUT, &path, Some(&body), &headers)
            .await
            .unwrap()
    };
    assert_eq!(put("courier").await.status, StatusCode::OK);
    let late = put("manager").await;
    assert_eq!(
        (late.status, late.code()),
        (StatusCode::PRECONDITION_FAILED, Some("precondition_failed"))
    );
    let now = manager.ok_get(&person).await;
    assert_eq!(now["role"], "courier", "what was refused is rolled back");
    store.stop().await;
}

/// Waits for an order whose customer is no longer there to ask for it.
async fn until_it_is(store: &Store, order: &str, wanted: (&str, &str)) {
    let sql = store.sql("orders").await;
    wait_for(&format!("the order to be {wanted:?}"), WITHIN, async || {
        let found =
            "SELECT status, coalesce(outcome_reason, '') FROM orders WHERE id = $1::text::uuid";
        let row = sql.query_one(found, &[&order]).await?;
        Ok((row.get(0), row.get(1)) == wanted)
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_gets_all_money_out_also_what_comes_back_later() {
    let mut store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let (email, ada) = register(&store).await;
    wait_for("the account", WITHIN, async || {
        Ok(ada.get("/api/account").await?.status == StatusCode::OK)
    })
    .await
    .unwrap();
    let top_up = json!({ "amount": 5_000 });
    ada.ok_post("/api/account/top-ups", &top_up).await;
    store.stop_service("delivery").await;
    let order = catalogue.place(&ada, &catalogue.order(2)).await;
    wait_for_status(&ada, &order, &["reserved"]).await;
    // An order of which the others hear only when she has left.
    store.kill_relay("orders");
    let late = catalogue.place(&ada, &catalogue.order(1)).await;
    let id = ada.ok_get("/api/users/me").await["id"].clone();
    let account = format!("/api/accounts/{}", id.as_str().unwrap());

    let delete = async || {
        ada.send(Method::DELETE, "/api/users/me", None, None)
            .await
            .unwrap()
            .status
    };
    assert_eq!(delete().await, StatusCode::NO_CONTENT);
    assert_eq!(
        delete().await,
        StatusCode::NO_CONTENT,
        "once more changes nothing"
    );
    assert!(store.guest.log_in(&email, PASSWORD).await.is_err());
    wait_for("the account to be closed", WITHIN, async || {
        let account = store.manager.get(&account).await?.success()?;
        Ok(account["status"] == "closed" && account["available"] == 0 && account["held"] == 2_000)
    })
    .await
    .unwrap();
    store.start_relay("orders").await;
    until_it_is(&store, &late, ("rejected", "account_closed")).await;
    wait_for("her token to be void", WITHIN, async || {
        let answer = ada.post("/api/account/top-ups", &top_up).await?;
        Ok(answer.code() == Some("token_outdated"))
    })
    .await
    .unwrap();

    let path = format!("/api/orders/{order}/stop");
    let stopped = store.manager.post(&path, &json!({})).await.unwrap();
    assert_eq!(stopped.status, StatusCode::ACCEPTED);
    store.start_service("delivery").await;
    until_it_is(&store, &order, ("cancelled", "operator")).await;
    let account = store.manager.ok_get(&account).await;
    assert_eq!(
        (&account["available"], &account["held"]),
        (&json!(0), &json!(0))
    );

    // The address is free again, for another person.
    let person = json!({ "email": email, "password": PASSWORD, "name": "Ada" });
    store.guest.ok_post("/api/users", &person).await;
    let again = store.guest.log_in(&email, PASSWORD).await.unwrap();
    assert_eq!(
        again
            .get(&format!("/api/orders/{order}"))
            .await
            .unwrap()
            .status,
        StatusCode::NOT_FOUND
    );
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn token_keys_come_and_go_and_nobody_is_logged_out() {
    let settings = [
        "--token-key-lifetime=1",
        "--token-key-ahead=1",
        "--token-lifetime=6",
    ];
    let store = Store::start_with(&[("users", &settings)]).await;
    let (email, ada) = register(&store).await;
    let kids = async || {
        let users = store.address("users");
        let jwks = reqwest::get(format!("http://{users}/.well-known/jwks.json"))
            .await
            .unwrap();
        let jwks: serde_json::Value = jwks.json().await.unwrap();
        let keys = jwks["keys"].as_array().unwrap().iter();
        keys.map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let first = kids().await;
    // A user who logs in meanwhile gets on with either token, everywhere.
    let fixed = |client: &Client| store.guest.with_token(&client.tokens().unwrap().access);
    let mut tokens = vec![fixed(&ada)];
    wait_for("another key", WITHIN, async || {
        Ok(kids().await.len() > first.len())
    })
    .await
    .unwrap();
    for _ in 0..8 {
        tokens.push(fixed(&store.guest.log_in(&email, PASSWORD).await.unwrap()));
        let newest = tokens.last().unwrap();
        assert_eq!(
            newest.get("/api/notifications").await.unwrap().status,
            StatusCode::OK
        );
        let before = &tokens[tokens.len() - 2];
        assert_eq!(
            before.get("/api/notifications").await.unwrap().status,
            StatusCode::OK
        );
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    let is_gone = async || Ok(!kids().await.contains(&first[0]));
    wait_for("the first key to be over", WITHIN, is_gone)
        .await
        .unwrap();
    let old = tokens[0].get("/api/notifications").await.unwrap();
    assert_eq!(old.code(), Some("token_invalid"));
    store.end().await;
}
