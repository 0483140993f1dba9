//! A release was rolled back, and the databases hold what only the newer one knows: it waits, and
//! is taken for nothing else.

use reqwest::StatusCode;
use serde_json::json;
use tovar::client::{Answer, wait_for};

use crate::harness::{Catalogue, MustSucceed, Store, WITHIN, wait_for_status};

const CODE: &str = "of_newer_release";

fn waits(answer: &Answer) {
    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::SERVICE_UNAVAILABLE, Some(CODE))
    );
    assert!(answer.retry_after().is_some());
}

/// Changes the service's row of the order to a state that only a newer release knows.
async fn advance(store: &Store, service: &str, table: &str, order: &str) -> String {
    let sql = store.sql(service).await;
    let drop = format!("ALTER TABLE {table} DROP CONSTRAINT {table}_state_check");
    sql.batch_execute(&drop).await.unwrap();
    let state = format!("SELECT state FROM {table} WHERE order_id = $1::text::uuid");
    let before = sql.query_one(&state, &[&order]).await.unwrap().get(0);
    set(store, service, table, order, "frozen").await;
    before
}

async fn set(store: &Store, service: &str, table: &str, order: &str, state: &str) {
    let set = format!("UPDATE {table} SET state = $2 WHERE order_id = $1::text::uuid");
    let changed = store
        .sql(service)
        .await
        .execute(&set, &[&order, &state])
        .await
        .unwrap();
    assert_eq!(changed, 1);
}

/// The service has an event of the order that waits, with the value in its cause, and has parked
/// none.
async fn until_it_waits(store: &Store, service: &str, order: &str, value: &str) {
    let sql = store.sql(service).await;
    wait_for(
        &format!("an event of {service} to wait"),
        WITHIN,
        async || {
            let row = sql
                .query_opt("SELECT error FROM inbox_blocked WHERE key = $1", &[&order])
                .await?;
            Ok(row.is_some_and(|row| row.get::<_, String>(0).contains(value)))
        },
    )
    .await
    .unwrap();
    let parked: i64 = sql
        .query_one("SELECT count(*) FROM inbox_parked", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(parked, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_a_newer_release_has_changed_waits_for_it() {
    let mut store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    store.stop_service("delivery").await;
    let order = catalogue.place(&customer, &catalogue.order(1)).await;
    wait_for_status(&customer, &order, &["reserved"]).await;
    let hold = advance(&store, "billing", "holds", &order).await;
    let parcel = advance(&store, "warehouse", "parcels", &order).await;
    let orders = store.sql("orders").await;
    let add = "INSERT INTO order_facts (order_id, kind, fact, at, number)
               VALUES ($1::text::uuid, 'wrapped', '{\"kind\":\"wrapped\"}', now(), 99)";
    orders.execute(add, &[&order]).await.unwrap();
    waits(&customer.get(&format!("/api/orders/{order}")).await.unwrap());

    store.start_service("delivery").await;
    until_it_waits(&store, "billing", &order, "frozen").await;
    until_it_waits(&store, "orders", &order, "wrapped").await;
    set(&store, "billing", "holds", &order, &hold).await;
    until_it_waits(&store, "warehouse", &order, "frozen").await;
    let booking = advance(&store, "delivery", "bookings", &order).await;
    set(&store, "warehouse", "parcels", &order, &parcel).await;
    until_it_waits(&store, "delivery", &order, "frozen").await;
    set(&store, "delivery", "bookings", &order, &booking).await;
    let remove = "DELETE FROM order_facts WHERE kind = 'wrapped'";
    orders.execute(remove, &[]).await.unwrap();
    let ended = customer.finished(&order, WITHIN).await.unwrap();
    assert_eq!(ended["status"], "delivered");
    let wanted =
        json!({ "available": 4_000, "held": 0, "stock": 9, "free": 4, "told": ["delivered"] });
    catalogue
        .expect(&store, &customer, &catalogue.slot, wanted)
        .await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_about_what_a_newer_release_has_changed_is_told_to_wait() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let person = json!({ "email": "ada@example.org", "password": "long enough", "name": "Ada" });
    let ada = store.guest.ok_post("/api/users", &person).await;
    let order = catalogue.place(&customer, &catalogue.order(1)).await;
    customer.finished(&order, WITHIN).await.unwrap();
    store.verified().await;
    for (service, change) in [
        (
            "users",
            "ALTER TABLE users DROP CONSTRAINT users_role_check; UPDATE users SET role = 'auditor' \
             WHERE email = 'ada@example.org'",
        ),
        (
            "billing",
            "ALTER TABLE accounts DROP CONSTRAINT accounts_status_check, DROP CONSTRAINT \
             accounts_check;
                     UPDATE accounts SET status = 'frozen'",
        ),
        ("orders", "UPDATE orders SET currency = 'euros'"),
        (
            "delivery",
            "ALTER TABLE zones DROP CONSTRAINT zones_handover_check; UPDATE zones SET handover = \
             'drone'",
        ),
    ] {
        store
            .sql(service)
            .await
            .batch_execute(change)
            .await
            .unwrap();
    }
    let credentials = json!({ "email": "ada@example.org", "password": "long enough" });
    waits(
        &store
            .guest
            .post("/api/sessions", &credentials)
            .await
            .unwrap(),
    );
    let person = format!("/api/users/{}", ada["id"].as_str().unwrap());
    waits(&store.manager.get(&person).await.unwrap());
    waits(&customer.get("/api/account").await.unwrap());
    waits(
        &customer
            .post("/api/account/top-ups", &json!({ "amount": 1 }))
            .await
            .unwrap(),
    );
    waits(&customer.get(&format!("/api/orders/{order}")).await.unwrap());
    waits(&store.guest.get("/api/zones").await.unwrap());
    store.end().await;
}
