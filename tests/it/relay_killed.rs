use std::time::Duration;

use futures_util::future::join_all;

use crate::harness::{Catalogue, MustSucceed, Store};

#[tokio::test(flavor = "multi_thread")]
async fn relays_killed_at_random_points_lose_nothing_while_orders_come_in() {
    let mut store = Store::start().await;
    let catalogue = Catalogue::open(&store, 1_000, 1_000).await;
    let customers =
        join_all((0..4).map(async |_| store.guest.new_customer(100_000).await.unwrap())).await;
    let buying = customers.iter().map(async |customer| {
        for _ in 0..10 {
            assert_eq!(
                catalogue.buy(customer, &catalogue.order(1)).await["status"],
                "delivered"
            );
        }
    });
    let killing = async {
        let services = ["orders", "billing", "warehouse", "delivery"];
        for round in 0..16_u64 {
            let service = services[usize::try_from(round).unwrap() % services.len()];
            store.kill_relay(service);
            store.start_relay(service).await;
            // Random points: the orders' own pace decides where each kill falls.
            tokio::time::sleep(Duration::from_millis(37 * (round % 5) + 20)).await;
        }
    };
    tokio::join!(join_all(buying), killing);
    let left = store.guest.ok_get("/api/goods/tea").await;
    assert_eq!(left["available"], 1_000 - 40);
    store.stop().await;
}
