//! `verify` names every contradiction of an invariant.

mod between;
mod breaks;
mod inside;

use serde_json::json;
use tovar::{
    client::wait_for,
    verify::{self, Outcome, Report, invariants::INVARIANTS},
};

use crate::{
    harness::{Catalogue, MustSucceed, Store, WITHIN},
    verify::{place, until_status},
};

use breaks::Break;

/// Orders that ended in different ways, and one that waits for its courier.
struct Orders {
    delivered: String,
    rejected: String,
    refunded: String,
    cancelled: String,
    waiting: String,
}

async fn orders_of_all_ends(store: &mut Store, catalogue: &Catalogue) -> Orders {
    let zone = json!({ "handover": "courier" });
    store.manager.ok_put("/api/zones/couriers", &zone).await;
    let slot = Catalogue::add_slot(&store.manager, "couriers", 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();

    let delivered = catalogue.buy(&customer, &catalogue.order(2)).await;
    let rejected = catalogue.buy(&customer, &catalogue.order(9)).await;
    let by_courier = place(catalogue, &customer, "couriers", &slot).await;
    let refunded = place(catalogue, &customer, "couriers", &slot).await;
    for (order, outcome) in [(&by_courier, "delivered"), (&refunded, "recipient_absent")] {
        let path = format!("/api/deliveries/{order}/outcome");
        let outcome = json!({ "outcome": outcome });
        wait_for("the parcel to be out for delivery", WITHIN, async || {
            Ok(store
                .manager
                .post(&path, &outcome)
                .await?
                .status
                .is_success())
        })
        .await
        .unwrap();
        customer.finished(order, WITHIN).await.unwrap();
    }
    store.stop_service("delivery").await;
    let cancelled = place(catalogue, &customer, "couriers", &slot).await;
    until_status(&customer, &cancelled, "reserved").await;
    let path = format!("/api/orders/{cancelled}/cancellation");
    customer.ok_post(&path, &json!({})).await;
    assert_eq!(
        customer.finished(&cancelled, WITHIN).await.unwrap()["status"],
        "cancelled"
    );
    store.start_service("delivery").await;
    let waiting = place(catalogue, &customer, "couriers", &slot).await;
    until_status(&customer, &waiting, "shipped").await;
    let id = |order: &serde_json::Value| order["id"].as_str().unwrap().to_owned();
    Orders {
        delivered: id(&delivered),
        rejected: id(&rejected),
        refunded,
        cancelled,
        waiting,
    }
}

async fn sql(store: &Store, service: &str, statements: &str) {
    let client = store.sql(service).await;
    client.batch_execute(statements).await.unwrap();
}

/// What the report says of an invariant: `what` and the id of each violation.
fn violations(report: &Report, invariant: u8) -> Vec<(&str, &str)> {
    let found = report
        .violations()
        .filter(|found| found.invariant == invariant);
    found
        .map(|found| (found.what.as_str(), found.id.as_str()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_at_rest_is_clean_and_each_violation_is_named() {
    // The sweeper would repair some of what this test breaks.
    let mut store = Store::start_with(&[("orders", &["--sweep-every=3600000"])]).await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let orders = orders_of_all_ends(&mut store, &catalogue).await;
    let clean = store.verified().await;
    assert_eq!(clean.outcome, Outcome::Clean, "{}", clean.text());

    let breaks = [
        inside::of_each_database(&store, &catalogue, &orders).await,
        inside::against_constraints(&store, &orders).await,
        between::of_databases(&store, &orders).await,
        between::undone(&store, &orders).await,
    ]
    .concat();
    for invariant in &INVARIANTS {
        let checks = invariant.checks.iter().map(|check| check.what);
        for what in checks.chain(invariant.rules.iter().map(|rule| rule.what)) {
            let is_broken =
                |broken: &Break| (broken.invariant, broken.what) == (invariant.number, what);
            assert!(breaks.iter().any(is_broken), "{what}: break it here");
        }
    }
    for broken in breaks {
        sql(&store, broken.service, &broken.make).await;
        let report = verify::settled(&store.sources(), WITHIN).await.unwrap();
        assert_eq!(report.outcome, Outcome::Violated, "{}", broken.make);
        let named = violations(&report, broken.invariant);
        assert!(
            named.contains(&(broken.what, &broken.id)),
            "{}: {}\n{}",
            broken.what,
            broken.id,
            report.text()
        );
        sql(&store, broken.service, &broken.repair).await;
    }
    an_order_before_its_deadline(&store, &orders.delivered).await;
    let left = store.verified().await;
    assert_eq!(
        left.outcome,
        Outcome::Clean,
        "all is mended: {}",
        left.text()
    );
    store.stop().await;
}

/// A deadline stops an order that stands still before shipment, so until then it may still come to
/// an end.
async fn an_order_before_its_deadline(store: &Store, order: &str) {
    for (deadline, is_violation) in [("1 hour", false), ("-1 hour", true)] {
        let make = format!(
            "UPDATE orders SET status = 'paid', deadline = now() + interval '{deadline}' WHERE id \
             = '{order}'"
        );
        sql(store, "orders", &make).await;
        let report = verify::check(&store.sources()).await.unwrap();
        let stands_still = ("an order that stands still before its end", order);
        assert_eq!(
            violations(&report, 3).contains(&stands_still),
            is_violation,
            "{}",
            report.text()
        );
        let waits = report
            .not_settled()
            .any(|found| (found.what.as_str(), found.id.as_str()) == stands_still);
        assert_eq!(waits, !is_violation, "{}", report.text());
    }
    let repair =
        format!("UPDATE orders SET status = 'delivered', deadline = NULL WHERE id = '{order}'");
    sql(store, "orders", &repair).await;
}
