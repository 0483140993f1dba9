use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use service_kit::Service;
use tovar::{
    client::{Client, wait_for},
    services::SERVICES,
    verify::{self, Outcome, Report},
};
use uuid::Uuid;

use crate::harness::{Shop, Store, WITHIN};

/// Orders that ended in different ways, and one that waits for its courier.
struct Orders {
    delivered: String,
    rejected: String,
    refunded: String,
    waiting: String,
}

async fn place(shop: &Shop, customer: &Client, zone: &str, slot: &str) -> String {
    let placed = customer.post("/api/orders", &shop.order_to(1, zone, slot)).await;
    let order = placed.unwrap().success().unwrap();
    order["id"].as_str().unwrap().to_owned()
}

async fn until_status(customer: &Client, order: &str, status: &str) {
    wait_for(&format!("the order to be {status}"), WITHIN, async || {
        let order = customer.get(&format!("/api/orders/{order}")).await?.success()?;
        Ok(order["status"] == status)
    })
    .await
    .unwrap();
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
struct Break {
    invariant: u8,
    service: &'static str,
    make: String,
    mend: String,
    what: &'static str,
    id: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_at_rest_is_clean_and_each_violation_is_named() {
    // The sweeper would mend some of what this test breaks.
    let store = Store::start_with(&[("orders", &["--sweep-every=3600000"])]).await;
    let shop = Shop::open(&store, 10, 5).await;
    let orders = orders_of_all_ends(&store, &shop).await;
    let clean = store.verified().await;
    assert_eq!(clean.outcome, Outcome::Clean, "{}", clean.text());

    for broken in breaks(&store, &shop, &orders).await {
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

#[expect(
    clippy::too_many_lines,
    reason = "a list: one entry for each way in which a store can contradict itself"
)]
async fn breaks(store: &Store, shop: &Shop, orders: &Orders) -> Vec<Break> {
    let Orders {
        delivered,
        rejected,
        refunded,
        waiting,
    } = orders;
    let set = |service: &'static str, table: &str, key: &str, column: &str, (to, back): (&str, &str)| {
        let statement = |value: &str| format!("UPDATE {table} SET {column} = {value} WHERE {key}");
        (service, statement(to), statement(back))
    };
    let one = |(service, make, mend), invariant, what, id: &str| Break {
        invariant,
        service,
        make,
        mend,
        what,
        id: id.to_owned(),
    };
    let of_order = |order: &str| format!("order_id = '{order}'");
    let tea = "sku = 'tea'";
    let text = |client: tokio_postgres::Client, query: String| async move {
        client.query_one(&query, &[]).await.unwrap().get::<_, String>(0)
    };
    let capture = format!(
        "SELECT id::text FROM entry_sets WHERE kind = 'capture' AND {}",
        of_order(delivered)
    );
    let capture = text(store.sql("billing").await, capture).await;
    let refund = format!(
        "SELECT id::text FROM entry_sets WHERE kind = 'refund' AND {}",
        of_order(refunded)
    );
    let refund = text(store.sql("billing").await, refund).await;
    let told = format!(
        "SELECT id::text FROM notifications WHERE kind = 'delivered' AND {}",
        of_order(delivered)
    );
    let told = text(store.sql("notifications").await, told).await;
    let copy = Uuid::now_v7().to_string();
    let nowhere = Uuid::now_v7().to_string();
    let revenue = |set: &str| format!("entry_set_id = '{set}' AND account = 'shop_revenue'");
    let slot = &shop.slot;

    let mut breaks = vec![
        one(
            set(
                "billing",
                "postings",
                &revenue(&capture),
                "amount",
                ("amount + 1", "amount - 1"),
            ),
            1,
            "an entry set that does not sum to zero",
            &capture,
        ),
        one(
            set(
                "warehouse",
                "goods",
                tea,
                "reserved",
                ("reserved + 1", "reserved - 1"),
            ),
            2,
            "goods whose reserved pieces are not those of active reservations",
            "tea",
        ),
        one(
            set(
                "warehouse",
                "goods",
                tea,
                "on_hand",
                ("on_hand + 1", "on_hand - 1"),
            ),
            2,
            "goods whose pieces on hand are not those of their movements",
            "tea",
        ),
        one(
            set(
                "orders",
                "orders",
                &format!("id = '{delivered}'"),
                "status",
                ("'paid'", "'delivered'"),
            ),
            3,
            "an order whose status is not the end that was told",
            delivered,
        ),
        one(
            set(
                "delivery",
                "bookings",
                &of_order(waiting),
                "state",
                ("'delivered'", "'out_for_delivery'"),
            ),
            3,
            "an order that stands still before its end",
            waiting,
        ),
        one(
            set(
                "warehouse",
                "parcels",
                &of_order(delivered),
                "state",
                ("'released'", "'shipped'"),
            ),
            4,
            "a delivery of a parcel that was not shipped",
            delivered,
        ),
        one(
            set(
                "billing",
                "holds",
                &of_order(delivered),
                "state",
                ("'released'", "'captured'"),
            ),
            4,
            "a parcel that was shipped and not paid for in full",
            delivered,
        ),
        one(
            set(
                "billing",
                "holds",
                &of_order(rejected),
                "state",
                ("'held'", "'settled'"),
            ),
            5,
            "an order that is over and still holds money",
            rejected,
        ),
        one(
            set(
                "billing",
                "postings",
                &revenue(&refund),
                "amount",
                ("amount - 1", "amount + 1"),
            ),
            6,
            "an order with a refund beyond its capture",
            refunded,
        ),
        one(
            set(
                "delivery",
                "slots",
                &format!("id = '{slot}'"),
                "capacity",
                ("5", "5"),
            ),
            7,
            "a slot with more bookings than places",
            slot,
        ),
        one(
            set(
                "notifications",
                "notifications",
                &format!("id = '{told}'"),
                "kind",
                ("'rejected'", "'delivered'"),
            ),
            9,
            "an order of which another end was told than it has",
            delivered,
        ),
    ];
    let overbook = "INSERT INTO bookings SELECT gen_random_uuid(), gen_random_uuid(), 'booked', zone, id, 'locker' FROM slots";
    let overbooked = breaks.iter_mut().find(|broken| broken.invariant == 7).unwrap();
    overbooked.make = format!("{overbook}, generate_series(1, 5) WHERE id = '{slot}'");
    overbooked.mend = format!(
        "DELETE FROM bookings WHERE slot_id = '{slot}' AND {} IS NULL",
        "nullif(state, 'booked')"
    );
    breaks.extend([
        Break {
            invariant: 3,
            service: "orders",
            make: format!(
                "INSERT INTO orders SELECT '{copy}', user_id, idempotency_key, zone, slot_id, currency, total, status,
                   outcome_reason, deadline, placed_at + interval '1 hour' FROM orders WHERE id = '{delivered}'"
            ),
            mend: format!("DELETE FROM orders WHERE id = '{copy}'"),
            what: "an order under a key that an earlier order of its caller has",
            id: copy.clone(),
        },
        Break {
            invariant: 8,
            service: "notifications",
            make: format!("CREATE TABLE gone AS SELECT * FROM inbox WHERE event_id = '{told}'; DELETE FROM inbox WHERE event_id = '{told}'"),
            mend: "INSERT INTO inbox SELECT * FROM gone; DROP TABLE gone".to_owned(),
            what: "an event that notifications has passed over",
            id: told.clone(),
        },
        Break {
            invariant: 8,
            service: "delivery",
            make: format!("INSERT INTO inbox VALUES ('delivery', '{nowhere}', 'warehouse.shipped.v1')"),
            mend: format!("DELETE FROM inbox WHERE event_id = '{nowhere}'"),
            what: "an event that delivery applied and that warehouse did not publish",
            id: nowhere.clone(),
        },
        Break {
            invariant: 8,
            service: "delivery",
            make: format!(
                "INSERT INTO inbox_parked (consumer, event_id, topic, partition, \"offset\", key, type, payload, code, reason)
                 VALUES ('delivery', '{nowhere}', 'warehouse', 0, 0, '{delivered}', 'warehouse.shipped.v1', '', 'a', 'b')"
            ),
            mend: format!("DELETE FROM inbox_parked WHERE event_id = '{nowhere}'"),
            what: "an event that is parked in the inbox of delivery",
            id: nowhere,
        },
        Break {
            invariant: 9,
            service: "notifications",
            make: format!("CREATE TABLE gone AS SELECT * FROM notifications WHERE id = '{told}'; DELETE FROM notifications WHERE id = '{told}'"),
            mend: "INSERT INTO notifications SELECT * FROM gone; DROP TABLE gone".to_owned(),
            what: "an order that is over and whose end was not told",
            id: delivered.clone(),
        },
    ]);
    breaks
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_stopped_service_is_not_settled_and_no_violation() {
    let mut store = Store::start().await;
    let shop = Shop::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    assert_eq!(store.verified().await.outcome, Outcome::Clean);

    store.stop_service("delivery").await;
    let order = place(&shop, &customer, shop.zone, &shop.slot).await;
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
    let shop = Shop::open(&store, 30, 25).await;
    let customers = join_all((0..4).map(async |_| store.guest.new_customer(8_000).await.unwrap())).await;
    let buying = join_all(customers.iter().map(async |customer| {
        for _ in 0..10 {
            shop.buy(customer, &shop.order(1)).await;
        }
    }));
    let looking = async {
        let mut unsettled = 0;
        loop {
            let report = verify::check(&store.sources()).await.unwrap();
            assert_ne!(report.outcome, Outcome::Violated, "{}", report.text());
            unsettled += u32::from(report.outcome == Outcome::NotSettled);
            tokio::task::yield_now().await;
            if unsettled == 1_000 {
                return unsettled;
            }
        }
    };
    tokio::select! {
        _ = buying => {}
        unsettled = looking => panic!("{unsettled} times under way"),
    }
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
        "postgres://nobody@127.0.0.1:1/billing".to_owned(),
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
