use serde_json::json;
use tovar::{
    client::wait_for,
    verify::{self, Outcome, Report},
};
use uuid::Uuid;

use crate::{
    harness::{Shop, Store, WITHIN},
    verify::{place, until_status},
};

/// Orders that ended in different ways, and one that waits for its courier.
struct Orders {
    delivered: String,
    rejected: String,
    refunded: String,
    waiting: String,
}

async fn orders_of_all_ends(store: &Store, shop: &Shop) -> Orders {
    let zone = json!({ "handover": "courier" });
    let answer = store.manager.put("/api/zones/couriers", &zone).await.unwrap();
    answer.success().unwrap();
    let slot = Shop::add_slot(&store.manager, "couriers", 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();

    let delivered = shop.buy(&customer, &shop.order(2)).await;
    let rejected = shop.buy(&customer, &shop.order(9)).await;
    let by_courier = place(shop, &customer, "couriers", &slot).await;
    let refunded = place(shop, &customer, "couriers", &slot).await;
    for (order, outcome) in [(&by_courier, "delivered"), (&refunded, "recipient_absent")] {
        let path = format!("/api/deliveries/{order}/outcome");
        let outcome = json!({ "outcome": outcome });
        wait_for("the parcel to be out for delivery", WITHIN, async || {
            Ok(store.manager.post(&path, &outcome).await?.status.is_success())
        })
        .await
        .unwrap();
        customer.finished(order, WITHIN).await.unwrap();
    }
    let waiting = place(shop, &customer, "couriers", &slot).await;
    until_status(&customer, &waiting, "shipped").await;
    let id = |order: &serde_json::Value| order["id"].as_str().unwrap().to_owned();
    Orders {
        delivered: id(&delivered),
        rejected: id(&rejected),
        refunded,
        waiting,
    }
}

async fn sql(store: &Store, service: &str, statements: &str) {
    let client = store.sql(service).await;
    client.batch_execute(statements).await.unwrap();
}

/// What the report says of an invariant: `what` and the id of each violation.
fn violations(report: &Report, invariant: u8) -> Vec<(&str, &str)> {
    let found = report.violations().filter(|found| found.invariant == invariant);
    found
        .map(|found| (found.what.as_str(), found.id.as_str()))
        .collect()
}

/// What contradicts an invariant, how it is made and how it is mended.
#[derive(Clone)]
struct Break {
    invariant: u8,
    what: &'static str,
    id: String,
    service: &'static str,
    make: String,
    mend: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_at_rest_is_clean_and_each_violation_is_named() {
    // The sweeper would mend some of what this test breaks.
    let store = Store::start_with(&[("orders", &["--sweep-every=3600000"])]).await;
    let shop = Shop::open(&store, 10, 5).await;
    let orders = orders_of_all_ends(&store, &shop).await;
    let clean = store.verified().await;
    assert_eq!(clean.outcome, Outcome::Clean, "{}", clean.text());

    let breaks = [
        inside(&store, &shop, &orders).await,
        between(&store, &orders).await,
    ]
    .concat();
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
        sql(&store, broken.service, &broken.mend).await;
    }
    an_order_before_its_deadline(&store, &orders.delivered).await;
    let left = store.verified().await;
    assert_eq!(left.outcome, Outcome::Clean, "all is mended: {}", left.text());
    store.stop().await;
}

/// A deadline stops an order that stands still before shipment, so until then it may still come to an end.
async fn an_order_before_its_deadline(store: &Store, order: &str) {
    for (deadline, is_violation) in [("1 hour", false), ("-1 hour", true)] {
        let make = format!(
            "UPDATE orders SET status = 'paid', deadline = now() + interval '{deadline}' WHERE id = '{order}'"
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
    let mend = format!("UPDATE orders SET status = 'delivered', deadline = NULL WHERE id = '{order}'");
    sql(store, "orders", &mend).await;
}

/// A column that says something else than it must.
fn set(
    (invariant, what, id): (u8, &'static str, &str),
    (service, table, row): (&'static str, &str, &str),
    column: &str,
    (to, back): (&str, &str),
) -> Break {
    let statement = |value: &str| format!("UPDATE {table} SET {column} = {value} WHERE {row}");
    Break {
        invariant,
        what,
        id: id.to_owned(),
        service,
        make: statement(to),
        mend: statement(back),
    }
}

/// A row that is gone.
fn lose(
    (invariant, what, id): (u8, &'static str, &str),
    service: &'static str,
    table: &str,
    row: &str,
) -> Break {
    Break {
        invariant,
        what,
        id: id.to_owned(),
        service,
        make: format!(
            "CREATE TABLE gone AS SELECT * FROM {table} WHERE {row}; DELETE FROM {table} WHERE {row}"
        ),
        mend: format!("INSERT INTO {table} SELECT * FROM gone; DROP TABLE gone"),
    }
}

/// A row that should not be there.
fn add(
    (invariant, what, id): (u8, &'static str, &str),
    service: &'static str,
    insert: String,
    (table, row): (&str, &str),
) -> Break {
    Break {
        invariant,
        what,
        id: id.to_owned(),
        service,
        make: insert,
        mend: format!("DELETE FROM {table} WHERE {row}"),
    }
}

fn of_order(order: &str) -> String {
    format!("order_id = '{order}'")
}

async fn id(store: &Store, service: &str, table: &str, kind: &str, order: &str) -> String {
    let query = format!(
        "SELECT id::text FROM {table} WHERE kind = '{kind}' AND {}",
        of_order(order)
    );
    store
        .sql(service)
        .await
        .query_one(&query, &[])
        .await
        .unwrap()
        .get(0)
}

/// What shows inside one database.
async fn inside(store: &Store, shop: &Shop, orders: &Orders) -> Vec<Break> {
    let Orders {
        delivered, refunded, ..
    } = orders;
    let revenue = |set: &str| format!("entry_set_id = '{set}' AND account = 'shop_revenue'");
    let capture = id(store, "billing", "entry_sets", "capture", delivered).await;
    let refund = id(store, "billing", "entry_sets", "refund", refunded).await;
    let unbalanced = (1, "an entry set that does not sum to zero", capture.as_str());
    let refunded = (6, "an order with a refund beyond its capture", refunded.as_str());
    let reserved = (
        2,
        "goods whose reserved pieces are not those of active reservations",
        "tea",
    );
    let on_hand = (
        2,
        "goods whose pieces on hand are not those of their movements",
        "tea",
    );
    let told = (
        3,
        "an order whose status is not the end that was told",
        delivered.as_str(),
    );
    let tea = ("warehouse", "goods", "sku = 'tea'");
    let slot = &shop.slot;
    let copy = Uuid::now_v7().to_string();
    vec![
        set(unbalanced, ("billing", "postings", &revenue(&capture)), "amount", ("amount + 1", "amount - 1")),
        set(refunded, ("billing", "postings", &revenue(&refund)), "amount", ("amount - 1", "amount + 1")),
        set(reserved, tea, "reserved", ("reserved + 1", "reserved - 1")),
        set(on_hand, tea, "on_hand", ("on_hand + 1", "on_hand - 1")),
        set(told, ("orders", "orders", &format!("id = '{delivered}'")), "status", ("'paid'", "'delivered'")),
        add(
            (7, "a slot with more bookings than places", slot),
            "delivery",
            format!(
                "INSERT INTO bookings SELECT gen_random_uuid(), gen_random_uuid(), 'booked', zone, id, 'locker'
                 FROM slots, generate_series(1, 5) WHERE id = '{slot}'"
            ),
            ("bookings", &format!("slot_id = '{slot}' AND state = 'booked'")),
        ),
        add(
            (3, "an order under a key that an earlier order of its caller has", &copy),
            "orders",
            format!(
                "INSERT INTO orders (id, user_id, idempotency_key, zone, slot_id, currency, total, status, placed_at)
                 SELECT '{copy}', user_id, idempotency_key, zone, slot_id, currency, total, status, placed_at + interval '1 hour'
                 FROM orders WHERE id = '{delivered}'"
            ),
            ("orders", &format!("id = '{copy}'")),
        ),
    ]
}

/// What shows only between databases.
async fn between(store: &Store, orders: &Orders) -> Vec<Break> {
    let Orders {
        delivered,
        rejected,
        waiting,
        ..
    } = orders;
    let told = id(store, "notifications", "notifications", "delivered", delivered).await;
    let notification = format!("id = '{told}'");
    let nowhere = Uuid::now_v7().to_string();
    let stands_still = (3, "an order that stands still before its end", waiting.as_str());
    let not_shipped = (
        4,
        "a delivery of a parcel that was not shipped",
        delivered.as_str(),
    );
    let not_paid = (
        4,
        "a parcel that was shipped and not paid for in full",
        delivered.as_str(),
    );
    let holds = (
        5,
        "an order that is over and still holds money",
        rejected.as_str(),
    );
    let other_end = (
        9,
        "an order of which another end was told than it has",
        delivered.as_str(),
    );
    let not_told = (
        9,
        "an order that is over and whose end was not told",
        delivered.as_str(),
    );
    let passed_over = (8, "an event that notifications has passed over", told.as_str());
    let unpublished = (
        8,
        "an event that delivery applied and that warehouse did not publish",
        nowhere.as_str(),
    );
    let parked = (
        8,
        "an event that is parked in the inbox of delivery",
        nowhere.as_str(),
    );
    let applied = format!("INSERT INTO inbox VALUES ('delivery', '{nowhere}', 'warehouse.shipped.v1')");
    let put_aside = format!(
        "INSERT INTO inbox_parked (consumer, event_id, topic, partition, \"offset\", key, type, payload, code, reason)
         VALUES ('delivery', '{nowhere}', 'warehouse', 0, 0, '{delivered}', 'warehouse.shipped.v1', '', 'a', 'b')"
    );
    let nowhere = format!("event_id = '{nowhere}'");
    let (of_delivered, of_rejected) = (&of_order(delivered), &of_order(rejected));
    vec![
        set(
            stands_still,
            ("delivery", "bookings", &of_order(waiting)),
            "state",
            ("'delivered'", "'out_for_delivery'"),
        ),
        set(
            not_shipped,
            ("warehouse", "parcels", of_delivered),
            "state",
            ("'released'", "'shipped'"),
        ),
        set(
            not_paid,
            ("billing", "holds", of_delivered),
            "state",
            ("'released'", "'captured'"),
        ),
        set(
            holds,
            ("billing", "holds", of_rejected),
            "state",
            ("'held'", "'settled'"),
        ),
        set(
            other_end,
            ("notifications", "notifications", &notification),
            "kind",
            ("'rejected'", "'delivered'"),
        ),
        lose(not_told, "notifications", "notifications", &notification),
        lose(
            passed_over,
            "notifications",
            "inbox",
            &format!("event_id = '{told}'"),
        ),
        add(unpublished, "delivery", applied, ("inbox", &nowhere)),
        add(parked, "delivery", put_aside, ("inbox_parked", &nowhere)),
    ]
}
