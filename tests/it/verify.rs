use std::{cell::Cell, time::Duration};

use futures_util::future::join_all;
use service_kit::Service;
use tovar::{
    client::{Client, wait_for},
    services::SERVICES,
    verify::{self, Outcome},
};

use crate::harness::{Catalogue, MustSucceed, Store, WITHIN};

pub async fn place(catalogue: &Catalogue, customer: &Client, zone: &str, slot: &str) -> String {
    let order = customer
        .ok_post("/api/orders", &catalogue.order_to(1, zone, slot))
        .await;
    order["id"].as_str().unwrap().to_owned()
}

pub async fn until_status(customer: &Client, order: &str, status: &str) {
    wait_for(&format!("the order to be {status}"), WITHIN, async || {
        let order = customer
            .get(&format!("/api/orders/{order}"))
            .await?
            .success()?;
        Ok(order["status"] == status)
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_stopped_service_is_not_settled_and_no_violation() {
    let mut store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    assert_eq!(store.verified().await.outcome, Outcome::Clean);

    store.stop_service("delivery").await;
    let order = place(&catalogue, &customer, catalogue.zone, &catalogue.slot).await;
    until_status(&customer, &order, "reserved").await;
    let report = verify::settled(&store.sources(), Duration::from_secs(3))
        .await
        .unwrap();
    assert_eq!(report.outcome, Outcome::NotSettled, "{}", report.text());
    let waits = |invariant: u8, what: &str| {
        let found = report
            .not_settled()
            .find(|found| found.invariant == invariant && found.what == what);
        found
            .unwrap_or_else(|| panic!("{what}: {}", report.text()))
            .clone()
    };
    assert!(
        waits(8, "an event that is under way to delivery")
            .detail
            .contains(&order)
    );
    let order_waits = waits(3, "an order that stands still before its end");
    assert_eq!(order_waits.id, order);
    assert!(order_waits.since.is_some_and(|since| since < report.at));

    store.start_service("delivery").await;
    customer.finished(&order, WITHIN).await.unwrap();
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_under_load_is_never_called_violated() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 30, 25).await;
    let customers =
        join_all((0..4).map(async |_| store.guest.new_customer(8_000).await.unwrap())).await;
    let unsettled = Cell::new(0);
    // More than there is to be had, and for as long as it takes to look while something is under
    // way.
    let buying = join_all(customers.iter().map(async |customer| {
        let mut bought = 0;
        while bought < 10 || unsettled.get() < 3 {
            catalogue.buy(customer, &catalogue.order(1)).await;
            bought += 1;
        }
    }));
    let looking = async {
        loop {
            let report = verify::check(&store.sources()).await.unwrap();
            assert_ne!(report.outcome, Outcome::Violated, "{}", report.text());
            unsettled.set(unsettled.get() + u32::from(report.outcome == Outcome::NotSettled));
        }
    };
    tokio::select! {
        _ = buying => {}
        () = looking => {}
        () = tokio::time::sleep(WITHIN * 3) => {}
    }
    assert!(
        unsettled.get() >= 3,
        "looked while something was under way: {unsettled:?} times"
    );
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_kafka_is_checked_and_one_without_a_database_is_not() {
    let store = Store::start().await;
    assert_eq!(store.verified().await.outcome, Outcome::Clean);
    let mut sources = store.sources();
    sources.kafka.kafka_brokers = "127.0.0.1:1".to_owned();
    let report = verify::check(&sources).await.unwrap();
    assert_eq!((report.outcome, report.notes.len()), (Outcome::Clean, 1));
    sources.readers.insert(
        "billing".to_owned(),
        "postgres://stranger@127.0.0.1:1/billing".to_owned(),
    );
    verify::check(&sources).await.unwrap_err();
    store.stop().await;
}

#[test]
fn the_command_line_knows_what_each_service_listens_to() {
    fn listens_to<S: Service>() {
        let mut known = SERVICES
            .into_iter()
            .find(|service| service.name == S::NAME)
            .unwrap()
            .listens_to
            .to_vec();
        known.sort_unstable();
        assert_eq!(known, S::subscriptions().event_types(), "{}", S::NAME);
    }
    listens_to::<users::Users>();
    listens_to::<billing::Billing>();
    listens_to::<orders::Orders>();
    listens_to::<warehouse::Warehouse>();
    listens_to::<delivery::Delivery>();
    listens_to::<notifications::Notifications>();
}
