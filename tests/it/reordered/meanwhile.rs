//! Another replica of the service notes an order's end while this one hears of its beginning.

use kernel::OrderId;
use service_kit::Service;
use tovar::client::wait_for;

use super::{Case, Outboxes, STORIES, Told, alone, number, sheet, states, until_applied, user_id};
use crate::harness::WITHIN;

#[tokio::test(flavor = "multi_thread")]
async fn billing_keeps_a_verdict() {
    keeps::<billing::Billing>(
        Told::Placed,
        "INSERT INTO holds (order_id, user_id, state, amount) VALUES ($1, $2, 'settled', 0)",
        ("SELECT order_id, state FROM holds", "settled"),
        "SELECT sum(held)::bigint FROM accounts",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_warehouse_keeps_a_stop() {
    keeps::<warehouse::Warehouse>(
        Told::Held,
        "INSERT INTO parcels (order_id, user_id, state) VALUES ($1, $2, 'released')",
        ("SELECT order_id, state FROM parcels", "released"),
        "SELECT sum(reserved)::bigint FROM goods",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_keeps_a_verdict() {
    keeps::<delivery::Delivery>(
        Told::Reserved,
        "INSERT INTO bookings (order_id, user_id, state) VALUES ($1, $2, 'freed')",
        ("SELECT order_id, state FROM bookings", "freed"),
        "SELECT sum(booked)::bigint FROM slots",
    )
    .await;
}

/// Tells the service what begins an order with it, while another transaction has noted the order's
/// end and is not committed yet: the service looks for the order in vain, and is too late to note
/// it itself. What the other has noted must stand, and `taken` must be nothing.
async fn keeps<S: Service>(told: Told, note: &str, (found, noted): (&str, &str), taken: &str) {
    let (store, catalogue, customer) = alone::<S>().await;
    let sheet = sheet(&catalogue, OrderId::new(), user_id(&customer).await);
    let mut replica = store.sql(S::NAME).await;
    let transaction = replica.transaction().await.unwrap();
    let ids = [sheet.order_id.uuid(), sheet.user_id.uuid()];
    transaction
        .execute(note, &[&ids[0], &ids[1]])
        .await
        .unwrap();
    let case = Case {
        story: &STORIES[0],
        sheet,
        steps: vec![told],
    };
    let told = Outboxes::open(&store).await.publish(&[(&case, told)]).await;
    let waits = async || {
        let waiting =
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'";
        Ok(number(&store, S::NAME, waiting).await > 0)
    };
    wait_for(
        "the service to wait for the other transaction",
        WITHIN,
        waits,
    )
    .await
    .unwrap();
    transaction.commit().await.unwrap();
    until_applied(&store, S::NAME, &told).await.unwrap();
    assert_eq!(states(&store, S::NAME, found).await[&ids[0]], noted);
    assert_eq!(number(&store, S::NAME, taken).await, 0);
    store.end().await;
}
