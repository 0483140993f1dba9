use serde_json::json;
use tovar::order::{self, EventState, View};

use crate::{
    harness::{Catalogue, MustSucceed, Store, WITHIN},
    verify::{place, until_status},
};

async fn view(store: &Store, order: &str) -> View {
    order::view(&store.file(), order.parse().unwrap())
        .await
        .unwrap()
}

fn states(view: &View) -> Vec<&str> {
    let parts = view.parts.iter();
    parts
        .map(|part| part.state.as_deref().unwrap_or("-"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_shown_where_it_is_with_what_it_waits_for() {
    let mut store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();

    store.stop_service("delivery").await;
    let order = place(&catalogue, &customer, catalogue.zone, &catalogue.slot).await;
    until_status(&customer, &order, "reserved").await;
    let stuck = view(&store, &order).await;
    assert_eq!(
        states(&stuck),
        ["registered", "held", "reserved", "reserved", "-", "-"]
    );
    assert_eq!(stuck.next, "delivery books the slot, or refuses");
    let waits: Vec<&str> = stuck.waits.iter().map(|wait| wait.what.as_str()).collect();
    assert!(
        waits
            .iter()
            .any(|what| what.starts_with("delivery to apply warehouse.reserved.v1")),
        "{waits:?}"
    );
    assert!(
        stuck
            .waits
            .iter()
            .all(|wait| wait.since <= stuck.at && wait.can.contains("cargo tovar"))
    );

    store.start_service("delivery").await;
    customer.finished(&order, WITHIN).await.unwrap();
    store.verified().await;
    let over = view(&store, &order).await;
    assert_eq!(
        states(&over),
        [
            "registered",
            "captured",
            "delivered",
            "shipped",
            "delivered",
            "told"
        ]
    );
    assert!(over.waits.is_empty(), "{:?}", over.waits);
    let events: Vec<&str> = over
        .journey
        .iter()
        .map(|step| step.event_type.as_str())
        .collect();
    assert_eq!(events.first(), Some(&"orders.placed.v1"));
    assert_eq!(events.last(), Some(&"orders.finished.v1"));
    for step in &over.journey {
        assert!(
            !step.subscribers.is_empty(),
            "{} is for somebody",
            step.event_type
        );
        let places = step
            .subscribers
            .iter()
            .map(|reader| &reader.inbox)
            .chain([&step.outbox]);
        assert!(
            places
                .into_iter()
                .all(|at| matches!(at, EventState::Done { .. })),
            "{step:?}"
        );
    }
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_waits_for_its_courier_or_an_operator_says_so() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let zone = json!({ "handover": "courier" });
    store.manager.ok_put("/api/zones/couriers", &zone).await;
    let slot = Catalogue::add_slot(&store.manager, "couriers", 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let order = place(&catalogue, &customer, "couriers", &slot).await;
    until_status(&customer, &order, "shipped").await;
    store.verified().await;
    let out = view(&store, &order).await;
    assert_eq!(out.waits.len(), 1, "{:?}", out.waits);
    assert_eq!(out.waits[0].what, "its courier");

    // An event of the order that no handler can read.
    let event = uuid::Uuid::now_v7();
    let publish =
        "SELECT outbox_publish($1, 'delivery', $2, 'delivery.delivered.v1', '{}', NULL, 3, 2)";
    let delivery = store.sql("delivery").await;
    delivery
        .query_one(publish, &[&event, &order])
        .await
        .unwrap();
    tovar::client::wait_for("the event to be parked", WITHIN, async || {
        let view = view(&store, &order).await;
        Ok(view
            .waits
            .iter()
            .any(|wait| wait.what.starts_with("an operator: orders could not apply")))
    })
    .await
    .unwrap();
    let parked = view(&store, &order).await;
    let wait = parked
        .waits
        .iter()
        .find(|wait| wait.what.starts_with("an operator"))
        .unwrap();
    assert!(wait.what.contains("unreadable_event"), "{}", wait.what);
    assert!(wait.can.contains(&format!(
        "cargo tovar inbox replay {event} --service orders"
    )));

    let db = tovar::operations::inbox::open(&store.databases["orders"].owner)
        .await
        .unwrap();
    let orders = tovar::services::SERVICES
        .into_iter()
        .find(|one| one.name == "orders")
        .unwrap();
    tovar::operations::inbox::discard(&db, orders, event, "ada")
        .await
        .unwrap();
    let given_up = view(&store, &order).await;
    assert_eq!(given_up.waits[0].what, "its courier");
    order::view(&store.file(), uuid::Uuid::now_v7())
        .await
        .unwrap_err();
    store.stop().await;
}
