use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};

use crate::harness::{Catalogue, MustSucceed, Store};

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_stopped_immediately_and_restarted_while_orders_come_in_loses_nothing() {
    let servers = backing::shared().await.unwrap();
    let mut postgres = backing::own_postgres().await.unwrap();
    let store = Store::start_on(&postgres, &servers.kafka).await;
    let catalogue = Catalogue::open(&store, 1_000, 1_000).await;
    let customers =
        join_all((0..4).map(async |_| store.guest.new_customer(100_000).await.unwrap())).await;

    let buying = customers.iter().map(async |customer| {
        let mut orders = Vec::new();
        for _ in 0..20 {
            // One key per intent: whatever is lost on the way, the order is placed once.
            let key = uuid::Uuid::new_v4().to_string();
            let body = catalogue.order(1);
            let order = loop {
                match customer
                    .send(Method::POST, "/api/orders", Some(&body), Some(&key))
                    .await
                {
                    Ok(answer) if answer.status == StatusCode::CREATED => break answer.body,
                    Ok(answer)
                        if answer.status.is_client_error()
                            && answer.status != StatusCode::CONFLICT =>
                    {
                        panic!("{answer:?}")
                    }
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            };
            orders.push(order["id"].as_str().unwrap().to_owned());
        }
        orders
    });
    let crashing = async {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(400)).await;
            postgres.stop_immediately().await.unwrap();
            postgres.start_again().await.unwrap();
        }
    };
    let (orders, ()) = tokio::join!(join_all(buying), crashing);
    for (customer, orders) in customers.iter().zip(&orders) {
        for order in orders {
            let order = customer
                .finished(order, Duration::from_secs(120))
                .await
                .unwrap();
            assert_eq!(order["status"], "delivered");
        }
        let mine = customer.ok_get("/api/orders?limit=100").await;
        assert_eq!(
            mine["items"].as_array().unwrap().len(),
            20,
            "each intent is one order"
        );
    }
    let left = store.guest.ok_get("/api/goods/tea").await;
    assert_eq!(left["available"], 1_000 - 80);
    store.stop().await;
}
