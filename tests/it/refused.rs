use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use tovar::client::wait_for;
use uuid::Uuid;

use crate::harness::{Catalogue, MustSucceed, Store, WITHIN};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_the_account_does_not_cover_is_rejected() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(2_999).await.unwrap();
    let order = catalogue.buy(&customer, &catalogue.order(3)).await;
    assert_eq!(
        (&order["status"], &order["outcome_reason"]),
        (&json!("rejected"), &json!("insufficient_funds"))
    );
    let wanted =
        json!({ "available": 2_999, "held": 0, "stock": 10, "free": 5, "told": ["rejected"] });
    catalogue
        .expect(&store, &customer, &catalogue.slot, wanted)
        .await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_for_more_than_there_is_is_rejected_and_its_money_released() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 2, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let order = catalogue.buy(&customer, &catalogue.order(3)).await;
    assert_eq!(
        (&order["status"], &order["outcome_reason"]),
        (&json!("rejected"), &json!("out_of_stock"))
    );
    let wanted =
        json!({ "available": 5_000, "held": 0, "stock": 2, "free": 5, "told": ["rejected"] });
    catalogue
        .expect(&store, &customer, &catalogue.slot, wanted)
        .await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_to_a_zone_that_is_not_served_is_rejected_and_all_is_undone() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let order = catalogue
        .buy(
            &customer,
            &catalogue.order_to(1, "nowhere", &catalogue.slot),
        )
        .await;
    assert_eq!(
        (&order["status"], &order["outcome_reason"]),
        (&json!("rejected"), &json!("zone_not_served"))
    );
    let unknown = catalogue
        .buy(
            &customer,
            &catalogue.order_to(1, catalogue.zone, &Uuid::nil().to_string()),
        )
        .await;
    assert_eq!(
        (&unknown["status"], &unknown["outcome_reason"]),
        (&json!("rejected"), &json!("unknown_slot"))
    );
    let wanted = json!({
        "available": 5_000, "held": 0, "stock": 10, "free": 5,
        "told": ["rejected", "rejected"],
    });
    catalogue
        .expect(&store, &customer, &catalogue.slot, wanted)
        .await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_for_a_slot_that_is_full_is_rejected_and_all_is_undone() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 1).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let first = catalogue.buy(&customer, &catalogue.order(1)).await;
    assert_eq!(first["status"], "delivered");
    let second = catalogue.buy(&customer, &catalogue.order(1)).await;
    assert_eq!(
        (&second["status"], &second["outcome_reason"]),
        (&json!("rejected"), &json!("slot_full"))
    );
    let wanted = json!({
        "available": 4_000, "held": 0, "stock": 9, "free": 0,
        "told": ["rejected", "delivered"],
    });
    catalogue
        .expect(&store, &customer, &catalogue.slot, wanted)
        .await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_for_a_slot_that_is_over_is_rejected_and_all_is_undone() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let time_passes = "UPDATE slots SET starts_at = now() - interval '2 hours', ends_at = now() - \
        interval '1 hour'";
    let delivery = store.sql("delivery").await;
    assert_eq!(delivery.execute(time_passes, &[]).await.unwrap(), 1);
    let order = catalogue.buy(&customer, &catalogue.order(1)).await;
    assert_eq!(
        (&order["status"], &order["outcome_reason"]),
        (&json!("rejected"), &json!("slot_past"))
    );
    let account = customer.ok_get("/api/account").await;
    assert_eq!(
        (&account["available"], &account["held"]),
        (&json!(5_000), &json!(0))
    );
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_whose_event_is_under_way_is_not_open_yet_and_pays_nothing() {
    let mut store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    store.kill_relay("users");
    let (email, password) = (format!("{}@example.org", Uuid::new_v4()), "their password");
    let person = json!({ "email": email, "password": password, "name": "Early" });
    store.guest.ok_post("/api/users", &person).await;
    let early = store.guest.log_in(&email, password).await.unwrap();
    let not_yet = [
        early.get("/api/account").await.unwrap(),
        early
            .post("/api/account/top-ups", &json!({ "amount": 1 }))
            .await
            .unwrap(),
    ];
    for answer in not_yet {
        assert_eq!(
            (answer.status, answer.code()),
            (
                StatusCode::SERVICE_UNAVAILABLE,
                Some("account_not_open_yet")
            )
        );
        assert!(answer.headers.contains_key("retry-after"));
    }
    let order = catalogue.buy(&early, &catalogue.order(1)).await;
    assert_eq!(
        (&order["status"], &order["outcome_reason"]),
        (&json!("rejected"), &json!("no_account"))
    );
    store.start_relay("users").await;
    wait_for("the account to open", WITHIN, async || {
        Ok(early.get("/api/account").await?.status == StatusCode::OK)
    })
    .await
    .unwrap();
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_that_nobody_knows_cannot_be_ordered() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let body = |line: serde_json::Value| {
        json!({
            "lines": [line],
            "zone": catalogue.zone,
            "slot_id": catalogue.slot,
        })
    };
    for (line, code) in [
        (json!({ "sku": "coffee", "quantity": 1 }), "unknown_sku"),
        (
            json!({ "sku": "tea", "quantity": 1, "unit_price": 1 }),
            "invalid_body",
        ),
    ] {
        let refused = customer.post("/api/orders", &body(line)).await.unwrap();
        assert_eq!(
            (refused.status, refused.code()),
            (StatusCode::UNPROCESSABLE_ENTITY, Some(code))
        );
    }
    let orders = customer.ok_get("/api/orders").await;
    assert_eq!(orders["items"], json!([]));
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_customers_at_once_neither_oversell_nor_overbook() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 20, 15).await;
    let buy = async |number: i64| {
        let customer = store
            .guest
            .new_customer(if number % 5 == 0 { 10 } else { 1_000 })
            .await
            .unwrap();
        catalogue.buy(&customer, &catalogue.order(1)).await["status"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let ends = join_all((0..50).map(buy)).await;
    assert_eq!(
        ends.iter().filter(|end| *end == "delivered").count(),
        15,
        "{ends:?}"
    );
    wait_for(
        "what nobody got to be back on the shelf",
        WITHIN,
        async || Ok(store.guest.get("/api/goods/tea").await?.success()?["available"] == 5),
    )
    .await
    .unwrap();
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_orders_and_twenty_withdrawals_of_one_account_at_once_do_not_overdraw_it() {
    let store = Store::start_with(&[("orders", &["--rate-limit=0"])]).await;
    let catalogue = Catalogue::open(&store, 100, 100).await;
    let customer = store.guest.new_customer(15_000).await.unwrap();
    let buy =
        async |_| catalogue.buy(&customer, &catalogue.order(1)).await["status"] == "delivered";
    let withdraw = async |_| {
        let amount = json!({ "amount": 700 });
        let answer = customer
            .post("/api/account/withdrawals", &amount)
            .await
            .unwrap();
        if answer.status != StatusCode::CREATED {
            assert_eq!(answer.code(), Some("insufficient_funds"));
        }
        answer.status == StatusCode::CREATED
    };
    let (bought, withdrawn) =
        tokio::join!(join_all((0..50).map(buy)), join_all((0..20).map(withdraw)));
    let count =
        |done: Vec<bool>| i64::try_from(done.into_iter().filter(|done| *done).count()).unwrap();
    let (bought, withdrawn) = (count(bought), count(withdrawn));
    let left = 15_000 - bought * 1_000 - withdrawn * 700;
    assert!(
        (0..1_000).contains(&left),
        "{bought} orders, {withdrawn} withdrawals"
    );
    let account = customer.ok_get("/api/account").await;
    assert_eq!(
        (&account["available"], &account["held"]),
        (&json!(left), &json!(0))
    );
    store.stop().await;
}
