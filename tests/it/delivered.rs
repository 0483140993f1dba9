use serde_json::json;

use crate::harness::{Catalogue, MustSucceed, Store};

#[tokio::test(flavor = "multi_thread")]
async fn a_locker_order_goes_through_all_six_services() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let order = catalogue.buy(&customer, &catalogue.order(3)).await;

    assert_eq!(order["status"], "delivered");
    assert_eq!(order["total"], 3_000);
    let events: Vec<&str> = order["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        events,
        [
            "orders.placed",
            "billing.held",
            "warehouse.reserved",
            "delivery.booked",
            "billing.captured",
            "warehouse.shipped",
            "delivery.delivered",
            "orders.finished",
        ]
    );
    let wanted =
        json!({ "available": 2_000, "held": 0, "stock": 7, "free": 4, "told": ["delivered"] });
    catalogue
        .expect(&store, &customer, &catalogue.slot, wanted)
        .await;

    let told = customer.ok_get("/api/notifications").await;
    let kinds: Vec<&str> = told["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["kind"].as_str().unwrap())
        .collect();
    for kind in ["registered", "topped_up", "shipped", "delivered"] {
        assert_eq!(
            kinds.iter().filter(|told| **told == kind).count(),
            1,
            "{kind} in {kinds:?}"
        );
    }
    let entries = customer.ok_get("/api/account/entries").await;
    let kinds: Vec<&str> = entries["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["capture", "hold", "top_up"], "the newest first");
    store.stop().await;
}
