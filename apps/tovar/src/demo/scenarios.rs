use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use chrono::{DateTime, TimeDelta};
use futures_util::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    processes::Frozen,
    shop::{End, Place, SCENARIO_TIMEOUT, Shop},
    stock::add_slot,
};
use crate::{
    client::{Client, wait_for},
    store_file::StoreFile,
};

/// The longest deadline that the demo waits for.
const DEADLINE_WAIT_MAX: TimeDelta = TimeDelta::seconds(15);

pub async fn play(shop: &Shop, store: &StoreFile) -> anyhow::Result<()> {
    delivered_to_a_locker(shop)
        .await
        .context("delivered to a locker")?;
    delivered_by_a_courier(shop)
        .await
        .context("delivered by a courier")?;
    same_key_twice(shop).await.context("the same key twice")?;
    same_key_at_once(shop)
        .await
        .context("the same key twenty times at once")?;
    republished(shop, store)
        .await
        .context("an event republished")?;
    payment_refused(shop).await.context("payment refused")?;
    stock_refused(shop).await.context("stock refused")?;
    zone_not_served(shop).await.context("zone not served")?;
    slot_full(shop).await.context("slot full")?;
    recipient_absent(shop).await.context("recipient absent")?;
    cancelled(shop).await.context("cancelled by the customer")?;
    deadline_passed(shop, store)
        .await
        .context("a deadline passed")
}

/// Places an order and checks its result.
async fn buy(
    shop: &Shop,
    title: &str,
    (money, quantity): (i64, u32),
    place: &Place,
    end: &End,
) -> anyhow::Result<()> {
    let customer = shop.guest.new_customer(money).await?;
    let before = shop.holdings(&customer, place).await?;
    let order = shop.place(&customer, quantity, place).await?;
    shop.check(title, (&customer, place), &order, before, end)
        .await
}

async fn delivered_to_a_locker(shop: &Shop) -> anyhow::Result<()> {
    let end = End::delivered(2);
    buy(
        shop,
        "delivered to a locker",
        (5_000, 2),
        &shop.lockers,
        &end,
    )
    .await
}

async fn delivered_by_a_courier(shop: &Shop) -> anyhow::Result<()> {
    courier_reports(
        shop,
        "delivered by a courier",
        "delivered",
        &End::delivered(1),
    )
    .await
}

async fn recipient_absent(shop: &Shop) -> anyhow::Result<()> {
    let end = End::undone("refunded", "recipient_absent");
    courier_reports(shop, "recipient absent", "recipient_absent", &end).await
}

async fn courier_reports(shop: &Shop, title: &str, outcome: &str, end: &End) -> anyhow::Result<()> {
    let courier = shop.guest.new_courier(&shop.manager).await?;
    let (customer, place) = (shop.guest.new_customer(5_000).await?, &shop.couriers);
    let before = shop.holdings(&customer, place).await?;
    let order = shop.place(&customer, 1, place).await?;
    let path = format!("/api/deliveries/{order}/outcome");
    // The courier can take the parcel only after its shipment.
    wait_for(
        "the courier to have the parcel",
        SCENARIO_TIMEOUT,
        async || Ok(courier.take_parcel(&order).await?.status.is_success()),
    )
    .await?;
    courier
        .post(&path, &json!({ "outcome": outcome }))
        .await?
        .success()?;
    shop.check(title, (&customer, place), &order, before, end)
        .await
}

async fn same_key_twice(shop: &Shop) -> anyhow::Result<()> {
    same_key(shop, "the same key twice, one order", false).await
}

async fn same_key_at_once(shop: &Shop) -> anyhow::Result<()> {
    same_key(shop, "the same key twenty times at once, one order", true).await
}

async fn same_key(shop: &Shop, title: &str, at_once: bool) -> anyhow::Result<()> {
    let (customer, place) = (shop.guest.new_customer(50_000).await?, &shop.lockers);
    let before = shop.holdings(&customer, place).await?;
    let (body, key) = (shop.order_body(1, place), Uuid::new_v4().to_string());
    let send = async || {
        // While the first request runs, the store answers the others with a Retry-After.
        loop {
            let answer = customer
                .send(Method::POST, "/api/orders", Some(&body), Some(&key))
                .await?;
            if answer.code() != Some("idempotency_key_in_progress") {
                return anyhow::Ok(answer.success()?);
            }
            let pause = answer
                .retry_after()
                .context("a key in progress without a Retry-After")?;
            tokio::time::sleep(pause).await;
        }
    };
    let answers = if at_once {
        try_join_all((0..20).map(|_| send())).await?
    } else {
        vec![send().await?, send().await?]
    };
    let different: BTreeSet<String> = answers.iter().map(Value::to_string).collect();
    ensure!(
        different.len() == 1,
        "{} different answers",
        different.len()
    );
    let order = answers[0]["id"]
        .as_str()
        .context("an order without an id")?;
    shop.check(title, (&customer, place), order, before, &End::delivered(1))
        .await
}

/// Publishes an event a second time, as an operator can; its effect must not happen twice.
async fn republished(shop: &Shop, store: &StoreFile) -> anyhow::Result<()> {
    let (customer, place) = (shop.guest.new_customer(5_000).await?, &shop.lockers);
    let before = shop.holdings(&customer, place).await?;
    let order = shop.place(&customer, 1, place).await?;
    customer.finished(&order, SCENARIO_TIMEOUT).await?;
    let duplicates = async || duplicates(&store.ops["billing"]).await;
    let known = duplicates().await?;
    publish_again(&store.databases["orders"], &order).await?;
    wait_for(
        "billing to see the duplicate",
        SCENARIO_TIMEOUT,
        async || Ok(duplicates().await? > known),
    )
    .await?;
    let end = End::delivered(1);
    shop.check(
        "an event republished to Kafka",
        (&customer, place),
        &order,
        before,
        &end,
    )
    .await
}

async fn publish_again(database: &str, order: &str) -> anyhow::Result<()> {
    let (mut client, connection) = tokio_postgres::connect(database, tokio_postgres::NoTls)
        .await
        .context("the database of orders cannot be reached")?;
    let connection = tokio::spawn(connection);
    let sql = "SELECT id FROM outbox WHERE key = $1 AND type = 'orders.placed.v1'";
    let id: Uuid = client.query_one(sql, &[&order]).await?.get(0);
    let found = outbox::log::publish_again(&mut client, id, "cargo tovar demo").await?;
    connection.abort();
    ensure!(found, "the outbox does not have the event any more");
    Ok(())
}

/// How many duplicates a service has dropped.
async fn duplicates(ops: &str) -> anyhow::Result<f64> {
    let metrics = reqwest::get(format!("{ops}/metrics")).await?.text().await?;
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with("tovar_inbox_events_total{"));
    let duplicates = lines.filter(|line| line.contains("outcome=\"duplicate\""));
    let counts = duplicates.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    Ok(counts.sum())
}

async fn payment_refused(shop: &Shop) -> anyhow::Result<()> {
    let end = End::undone("rejected", "insufficient_funds");
    buy(shop, "payment refused", (500, 1), &shop.lockers, &end).await
}

async fn stock_refused(shop: &Shop) -> anyhow::Result<()> {
    let end = End::undone("rejected", "out_of_stock");
    buy(
        shop,
        "stock refused",
        (5_000_000, 2_000),
        &shop.lockers,
        &end,
    )
    .await
}

async fn zone_not_served(shop: &Shop) -> anyhow::Result<()> {
    let nowhere = Place {
        zone: "nowhere".to_owned(),
        ..shop.lockers.clone()
    };
    let end = End::undone("rejected", "zone_not_served");
    buy(shop, "zone not served", (5_000, 1), &nowhere, &end).await
}

async fn slot_full(shop: &Shop) -> anyhow::Result<()> {
    let zone = shop.lockers.zone.clone();
    let slot = add_slot(&shop.manager, &zone, 1).await?;
    let small = Place { zone, slot };
    buy(
        shop,
        "the last place of a slot",
        (5_000, 1),
        &small,
        &End::delivered(1),
    )
    .await?;
    let end = End::undone("rejected", "slot_full");
    buy(shop, "slot full", (5_000, 1), &small, &end).await
}

/// The warehouse decides whether a cancellation comes in time; one of a few does.
async fn cancelled(shop: &Shop) -> anyhow::Result<()> {
    let place = &shop.lockers;
    for _ in 0..20 {
        let customer = shop.guest.new_customer(5_000).await?;
        let before = shop.holdings(&customer, place).await?;
        let order = shop.place(&customer, 1, place).await?;
        let path = format!("/api/orders/{order}/cancellation");
        customer.post(&path, &json!({})).await?;
        let is_late = customer.finished(&order, SCENARIO_TIMEOUT).await?["status"] == "delivered";
        let end = if is_late {
            End::delivered(1)
        } else {
            End::undone("cancelled", "customer")
        };
        let title = if is_late {
            "cancelled too late"
        } else {
            "cancelled by the customer"
        };
        shop.check(title, (&customer, place), &order, before, &end)
            .await?;
        if !is_late {
            return Ok(());
        }
    }
    anyhow::bail!("no cancellation came in time")
}

/// The service delivery is away for longer than an order waits for it.
async fn deadline_passed(shop: &Shop, store: &StoreFile) -> anyhow::Result<()> {
    let place = &shop.lockers;
    let customer = shop.guest.new_customer(5_000).await?;
    let before = shop.holdings(&customer, place).await?;
    let Some(frozen) = Frozen::service(store, "delivery") else {
        println!(
            "a deadline passed: skipped, because this store's processes are not on this machine"
        );
        return Ok(());
    };
    let order = shop.place(&customer, 1, place).await?;
    let allowed = allowed(&customer, &order).await?;
    if allowed > DEADLINE_WAIT_MAX {
        drop(frozen);
        customer.finished(&order, SCENARIO_TIMEOUT).await?;
        println!(
            "a deadline passed: skipped, because here an order waits for {} s; `cargo tovar demo \
             --own` shows it\n",
            allowed.num_seconds()
        );
        return Ok(());
    }
    customer.finished(&order, SCENARIO_TIMEOUT).await?;
    drop(frozen);
    let end = End::undone("cancelled", "deadline");
    shop.check(
        "a deadline passed, because delivery was away",
        (&customer, place),
        &order,
        before,
        &end,
    )
    .await
}

/// How long the order may stay in its present status.
async fn allowed(customer: &Client, order: &str) -> anyhow::Result<TimeDelta> {
    let order = customer
        .get(&format!("/api/orders/{order}"))
        .await?
        .success()?;
    let time = |value: &Value| {
        value
            .as_str()
            .and_then(|text| DateTime::parse_from_rfc3339(text).ok())
    };
    let since = order["timeline"]
        .as_array()
        .and_then(|steps| time(&steps.last()?["at"]));
    let deadline = time(&order["deadline"]);
    let (until, since) = deadline.zip(since).context("an order without a deadline")?;
    Ok(until - since)
}
