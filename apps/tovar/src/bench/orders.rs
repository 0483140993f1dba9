use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::DateTime;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    client::{Client, wait_for},
    demo::stock::{add_slot, list_goods},
    store_file::StoreFile,
};

const WARM_UP: u32 = 5;

/// Places locker orders one after the other; milliseconds.
pub async fn measure(store: &StoreFile, count: u32) -> anyhow::Result<Value> {
    let guest = Client::new(&store.base_url);
    let manager = guest
        .log_in(&store.manager.email, &store.manager.password)
        .await?;
    let mark = &Uuid::new_v4().simple().to_string()[..8];
    let (sku, zone) = (format!("bench-{mark}"), format!("bench-{mark}"));
    list_goods(&manager, &sku, "Bench goods", 1, count + WARM_UP).await?;
    manager
        .put(&format!("/api/zones/{zone}"), &json!({ "handover": "locker" }))
        .await?
        .success()?;
    let slot = add_slot(&manager, &zone, i64::from(count + WARM_UP)).await?;
    let customer = guest.new_customer(i64::from(count + WARM_UP)).await?;
    let body = json!({ "lines": [{ "sku": sku, "quantity": 1 }], "zone": zone, "slot_id": slot });

    let (mut requests, mut deliveries) = (Vec::new(), Vec::new());
    for number in 0..count + WARM_UP {
        let (order, request) = place(&customer, &body).await?;
        let order = customer.finished(&order, Duration::from_secs(60)).await?;
        ensure!(order["status"] == "delivered", "an order is {}", order["status"]);
        if number >= WARM_UP {
            requests.push(request);
            deliveries.push(placed_to_delivered(&order).context("a timeline without times")?);
        }
    }
    Ok(json!({
        "orders": count,
        "POST /api/orders p50 (ms)": percentile(&mut requests, 50),
        "POST /api/orders p99 (ms)": percentile(&mut requests, 99),
        "placed to delivered p50 (ms)": percentile(&mut deliveries, 50),
        "placed to delivered p99 (ms)": percentile(&mut deliveries, 99),
    }))
}

/// The order's id, and how long the request took. The first one waits until orders has heard of the goods.
async fn place(customer: &Client, body: &Value) -> anyhow::Result<(String, f64)> {
    let mut placed = None;
    wait_for("the order to be accepted", Duration::from_secs(30), async || {
        let started = Instant::now();
        let answer = customer.post("/api/orders", body).await?;
        if answer.code() == Some("unknown_sku") {
            return Ok(false);
        }
        let took = started.elapsed().as_secs_f64() * 1e3;
        placed = Some((
            answer.success()?["id"]
                .as_str()
                .context("an order without an id")?
                .to_owned(),
            took,
        ));
        Ok(true)
    })
    .await?;
    placed.context("an order without an answer")
}

/// By the timeline, whose times are those of orders: when it was placed, and when orders heard of its delivery.
fn placed_to_delivered(order: &Value) -> Option<f64> {
    let at = |event: &str| {
        let step = order["timeline"]
            .as_array()?
            .iter()
            .find(|step| step["event"] == event)?;
        DateTime::parse_from_rfc3339(step["at"].as_str()?).ok()
    };
    Some((at("delivery.delivered")? - at("orders.placed")?).as_seconds_f64() * 1e3)
}

/// The value below which `percent` of the values are, to a tenth.
fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (values.len() * percent / 100).min(values.len().saturating_sub(1));
    values
        .get(index)
        .map_or(0.0, |value| (value * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_values() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert!((percentile(&mut values, 50) - 51.0).abs() < 0.01);
        assert!((percentile(&mut values, 99) - 100.0).abs() < 0.01);
    }
}
