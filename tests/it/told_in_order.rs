//! What a customer reads of an order is in the order in which it happened, however its events
//! arrive.

use chrono::{DateTime, TimeDelta, Utc};
use contracts::{
    Line, OrderSheet,
    orders::{Finished, Outcome},
    warehouse::Shipped,
};
use kernel::{Clock, Event, Money, OrderId, SlotId, UserId};
use tovar::client::{Client, wait_for};

use crate::harness::{MustSucceed, Store, WITHIN};

fn shipped(order_id: OrderId, user_id: UserId) -> Shipped {
    let line = Line {
        sku: "tea".parse().unwrap(),
        quantity: 1,
        unit_price: Money::from_minor(100),
    };
    Shipped {
        order: OrderSheet {
            order_id,
            user_id,
            lines: vec![line],
            currency: "EUR".parse().unwrap(),
            total: Money::from_minor(100),
            zone: "lockers".parse().unwrap(),
            slot_id: SlotId::new(),
        },
    }
}

fn finished(order_id: OrderId, user_id: UserId) -> Finished {
    Finished {
        order_id,
        user_id,
        outcome: Outcome::Delivered,
        reason: None,
    }
}

/// Publishes an event as of this time by its producer's clock, and waits until its customer is
/// told.
async fn tell<E: Event>(store: &Store, event: &E, at: DateTime<Utc>) {
    let mut producer = store.sql(E::TOPIC).await;
    let id = uuid::Uuid::now_v7();
    let payload = serde_json::to_string(event).unwrap();
    let published = producer.transaction().await.unwrap();
    let publish = "SELECT outbox_publish($1, $2, $3, $4, $5, NULL, 3, 2)";
    published
        .execute(publish, &[&id, &E::TOPIC, &event.key(), &E::TYPE, &payload])
        .await
        .unwrap();
    let dated = "UPDATE outbox SET recorded_at = $2 WHERE id = $1";
    assert_eq!(published.execute(dated, &[&id, &at]).await.unwrap(), 1);
    published.commit().await.unwrap();
    let notifications = store.sql("notifications").await;
    wait_for("the customer to be told", WITHIN, async || {
        let told = notifications
            .query_opt("SELECT FROM notifications WHERE id = $1", &[&id])
            .await?;
        Ok(told.is_some())
    })
    .await
    .unwrap();
}

/// The customer's notifications of orders, newest first, page by page.
async fn told(customer: &Client) -> Vec<(OrderId, String)> {
    let (mut told, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/notifications?limit=1{cursor}");
        let page = customer.ok_get(&path).await;
        for item in page["items"].as_array().unwrap() {
            if let Some(order) = item["order_id"].as_str() {
                let kind = item["kind"].as_str().unwrap().to_owned();
                told.push((order.parse().unwrap(), kind));
            }
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return told,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shipment_is_never_told_above_its_order_s_end() {
    let store = Store::start().await;
    let customer = store.guest.new_customer(1_000).await.unwrap();
    let me = customer.ok_get("/api/users/me").await;
    let user_id: UserId = me["id"].as_str().unwrap().parse().unwrap();
    let mut expected = Vec::new();
    let (end, late) = (Clock::system().now(), TimeDelta::minutes(5));
    // The warehouse's clock is right, or ahead of that of orders; the shipment arrives second, or
    // first.
    for (number, (shipment, is_first)) in [
        (-late, false),
        (TimeDelta::zero(), false),
        (late, false),
        (-late, true),
        (late, true),
    ]
    .into_iter()
    .enumerate()
    {
        let order = OrderId::of(user_id);
        let end = end + TimeDelta::hours(i64::try_from(number).unwrap());
        let (left, over) = (shipped(order, user_id), finished(order, user_id));
        if is_first {
            tell(&store, &left, end + shipment).await;
        }
        tell(&store, &over, end).await;
        if !is_first {
            tell(&store, &left, end + shipment).await;
        }
        expected.insert(0, (order, "shipped".to_owned()));
        expected.insert(0, (order, "delivered".to_owned()));
    }
    assert_eq!(told(&customer).await, expected);
    store.end().await;
}
