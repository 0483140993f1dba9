use anyhow::Context;
use chrono::{TimeDelta, Timelike};
use serde_json::{Value, json};

use crate::client::Client;

const GOODS: [(&str, &str, i64); 6] = [
    ("tea-green-100g", "Green tea, 100 g", 790),
    ("tea-black-100g", "Black tea, 100 g", 650),
    ("coffee-250g", "Coffee, 250 g", 1_190),
    ("honey-500g", "Honey, 500 g", 990),
    ("cup-blue", "Cup, blue", 1_450),
    ("pot-1l", "Tea pot, 1 l", 3_900),
];

const ZONES: [(&str, &str); 2] = [("lockers-centre", "locker"), ("couriers-north", "courier")];

/// Fills the shop with goods, zones and tomorrow's slots.
pub async fn fill(manager: &Client) -> anyhow::Result<()> {
    for (sku, name, price) in GOODS {
        list_goods(manager, sku, name, price, 1_000).await?;
        println!("  {sku:<18} {name:<20} {price:>6} minor units, 1000 pieces received");
    }
    for (zone, handover) in ZONES {
        manager
            .put(
                &format!("/api/zones/{zone}"),
                &json!({ "handover": handover }),
            )
            .await?
            .success()?;
        let slot = add_slot(manager, zone, 1_000).await?;
        println!("  {zone:<18} {handover:<20} slot {slot}, 1000 places");
    }
    println!("The shop is filled; `cargo tovar demo` places orders.");
    Ok(())
}

/// Lists goods and receives `quantity` pieces. The service orders learns of them by event, a moment
/// later.
pub async fn list_goods(
    manager: &Client,
    sku: &str,
    name: &str,
    price: i64,
    quantity: u32,
) -> anyhow::Result<()> {
    manager
        .put(
            &format!("/api/goods/{sku}"),
            &json!({ "name": name, "price": price }),
        )
        .await?
        .success()?;
    let receipt = json!({ "quantity": quantity });
    manager
        .post(&format!("/api/goods/{sku}/receipts"), &receipt)
        .await?
        .success()?;
    Ok(())
}

/// Adds a slot of `capacity` places at this hour of tomorrow; returns its id.
pub async fn add_slot(manager: &Client, zone: &str, capacity: i64) -> anyhow::Result<String> {
    let tomorrow = kernel::Clock::system().now() + TimeDelta::days(1);
    let start = tomorrow
        .with_minute(0)
        .and_then(|time| time.with_second(0))
        .unwrap_or(tomorrow);
    let body =
        json!({ "starts_at": start, "ends_at": start + TimeDelta::hours(2), "capacity": capacity });
    let slot: Value = manager
        .post(&format!("/api/zones/{zone}/slots"), &body)
        .await?
        .success()?;
    Ok(slot["id"]
        .as_str()
        .context("a slot without an id")?
        .to_owned())
}
