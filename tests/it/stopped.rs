use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::Value;
use tovar::client::{Client, wait_for};
use uuid::Uuid;

use crate::harness::{Catalogue, MustSucceed, SERVICES, Store, WITHIN};

const CUSTOMERS: usize = 3;
/// Between two orders of a customer. Without it, a slow machine would place more than it delivers,
/// and deadlines would pass.
const PAUSE: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn any_one_service_is_stopped_for_seconds_under_load() {
    each_service_is_away_for(Duration::from_secs(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes seven minutes"]
async fn any_one_service_is_stopped_for_a_minute_under_load() {
    each_service_is_away_for(Duration::from_secs(60)).await;
}

/// Stops one service after the other while customers go on ordering. `Store::stop` fails if
/// anything is left undone.
async fn each_service_is_away_for(outage: Duration) {
    // Each customer looks at each of their orders at the end, all of them at once.
    let mut store = Store::start_with(&[("orders", &["--rate-limit=0"])]).await;
    let lockers = Catalogue::open(&store, 100_000, 100_000).await;
    let couriers = Catalogue::open_with_couriers(&store, 100_000, 100_000).await;
    let customers = join_all((0..CUSTOMERS).map(|_| store.guest.new_customer(1_000_000_000)));
    let customers: Vec<_> = customers.await.into_iter().map(Result::unwrap).collect();
    let is_over = AtomicBool::new(false);
    let outages = async {
        for service in SERVICES {
            store.stop_service(service).await;
            tokio::time::sleep(outage).await;
            store.start_service(service).await;
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let journals = join_all(
        customers
            .iter()
            .map(|customer| keep_ordering(customer, [&lockers, &couriers], &is_over)),
    );
    let ((), journals) = tokio::join!(outages, journals);
    for (customer, accepted) in customers.iter().zip(&journals) {
        assert!(accepted.len() > SERVICES.len(), "{} orders", accepted.len());
        for order in accepted {
            wait_for(
                "the order to be over, or out for delivery",
                3 * WITHIN,
                async || {
                    let order = customer
                        .get(&format!("/api/orders/{order}"))
                        .await?
                        .success()?;
                    let status = order["status"].as_str().unwrap_or_default();
                    let is_over = ["delivered", "rejected", "cancelled", "refunded", "shipped"]
                        .contains(&status);
                    anyhow::ensure!(is_over, "{order:#}");
                    Ok(true)
                },
            )
            .await
            .unwrap();
        }
        let mut listed = orders_of(customer).await;
        let mut accepted = accepted.clone();
        listed.sort();
        accepted.sort();
        assert_eq!(listed, accepted, "each intent is one order");
    }
    store.stop().await;
}

/// Places one order after the other, each with a key that it keeps until there is an answer; what
/// was accepted.
async fn keep_ordering(
    customer: &Client,
    catalogues: [&Catalogue; 2],
    is_over: &AtomicBool,
) -> Vec<String> {
    let mut accepted = Vec::new();
    for catalogue in catalogues.into_iter().cycle() {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let (key, body) = (Uuid::new_v4().to_string(), catalogue.order(1));
        let mut placed = Value::Null;
        wait_for("an answer", 2 * WITHIN, async || {
            let answer = customer
                .send(
                    reqwest::Method::POST,
                    "/api/orders",
                    Some(&body),
                    Some(&key),
                )
                .await?;
            if answer.status.is_server_error() || answer.status == reqwest::StatusCode::CONFLICT {
                return Ok(false);
            }
            placed = answer.success()?;
            Ok(true)
        })
        .await
        .unwrap();
        accepted.push(placed["id"].as_str().unwrap().to_owned());
        tokio::time::sleep(PAUSE).await;
    }
    accepted
}

async fn orders_of(customer: &Client) -> Vec<String> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = customer
            .ok_get(&format!("/api/orders?limit=100{cursor}"))
            .await;
        let items = page["items"].as_array().unwrap().iter();
        all.extend(items.map(|order| order["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else {
            return all;
        };
        cursor = format!("&cursor={next}");
    }
}
