use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use super::stock::{add_slot, list_goods};
use crate::client::{Client, wait_for};

const WITHIN: Duration = Duration::from_secs(30);
const PRICE: i64 = 1_000;

/// A shop of its own, so that nobody else's orders disturb what is checked.
struct Shop<'c> {
    guest: &'c Client,
    manager: &'c Client,
    sku: String,
    zone: String,
    slot: String,
}

/// What an order must end in.
struct End<'e> {
    status: &'e str,
    reason: Option<&'e str>,
    available: i64,
    stock: i64,
    free: i64,
}

/// Runs each scenario and says what came of it; fails on the first surprise.
pub async fn run(guest: &Client, manager: &Client) -> anyhow::Result<()> {
    let mark = Uuid::new_v4().simple().to_string()[..8].to_owned();
    let (sku, zone) = (format!("demo-{mark}"), format!("demo-{mark}"));
    list_goods(manager, &sku, "Demo goods", PRICE, 10).await?;
    manager
        .put(&format!("/api/zones/{zone}"), &json!({ "handover": "locker" }))
        .await?
        .success()?;
    let slot = add_slot(manager, &zone, 10).await?;
    let shop = Shop {
        guest,
        manager,
        sku,
        zone,
        slot,
    };
    let started = Instant::now();
    shop.delivered().await.context("delivered to a locker")?;
    shop.same_key().await.context("the same key")?;
    shop.payment_refused().await.context("payment refused")?;
    shop.stock_refused().await.context("stock refused")?;
    shop.zone_not_served().await.context("zone not served")?;
    shop.slot_full().await.context("slot full")?;
    println!("All as it must be, in {} ms.", started.elapsed().as_millis());
    Ok(())
}

impl Shop<'_> {
    async fn delivered(&self) -> anyhow::Result<()> {
        let customer = self.guest.new_customer(5_000).await?;
        let order = self.place(&customer, 2, &self.zone, &self.slot).await?;
        let end = End {
            status: "delivered",
            reason: None,
            available: 3_000,
            stock: 8,
            free: 9,
        };
        self.check("delivered to a locker", &customer, &order, &end).await
    }

    async fn same_key(&self) -> anyhow::Result<()> {
        let customer = self.guest.new_customer(5_000).await?;
        let body = self.order_body(1, &self.zone, &self.slot);
        let key = Uuid::new_v4().to_string();
        let send = || customer.send(reqwest::Method::POST, "/api/orders", Some(&body), Some(&key));
        let first = send().await?.success()?;
        let again = send().await?;
        ensure!(
            again.headers.contains_key("idempotency-replayed"),
            "the second answer is no replay"
        );
        ensure!(again.body == first, "the second answer is another one");
        let order = first["id"].as_str().context("an order without an id")?.to_owned();
        let end = End {
            status: "delivered",
            reason: None,
            available: 4_000,
            stock: 7,
            free: 8,
        };
        self.check("the same key twice, one order", &customer, &order, &end)
            .await
    }

    async fn payment_refused(&self) -> anyhow::Result<()> {
        let customer = self.guest.new_customer(500).await?;
        let order = self.place(&customer, 1, &self.zone, &self.slot).await?;
        let end = End {
            status: "rejected",
            reason: Some("insufficient_funds"),
            available: 500,
            stock: 7,
            free: 8,
        };
        self.check("payment refused", &customer, &order, &end).await
    }

    async fn stock_refused(&self) -> anyhow::Result<()> {
        let customer = self.guest.new_customer(50_000).await?;
        let order = self.place(&customer, 8, &self.zone, &self.slot).await?;
        let end = End {
            status: "rejected",
            reason: Some("out_of_stock"),
            available: 50_000,
            stock: 7,
            free: 8,
        };
        self.check("stock refused", &customer, &order, &end).await
    }

    async fn zone_not_served(&self) -> anyhow::Result<()> {
        let customer = self.guest.new_customer(5_000).await?;
        let order = self.place(&customer, 1, "nowhere", &self.slot).await?;
        let end = End {
            status: "rejected",
            reason: Some("zone_not_served"),
            available: 5_000,
            stock: 7,
            free: 8,
        };
        self.check("zone not served", &customer, &order, &end).await
    }

    async fn slot_full(&self) -> anyhow::Result<()> {
        let slot = add_slot(self.manager, &self.zone, 1).await?;
        let customer = self.guest.new_customer(5_000).await?;
        let first = self.place(&customer, 1, &self.zone, &slot).await?;
        customer.finished(&first, WITHIN).await?;
        let order = self.place(&customer, 1, &self.zone, &slot).await?;
        let end = End {
            status: "rejected",
            reason: Some("slot_full"),
            available: 4_000,
            stock: 6,
            free: 8,
        };
        self.check("slot full", &customer, &order, &end).await
    }

    fn order_body(&self, quantity: u32, zone: &str, slot: &str) -> Value {
        json!({ "lines": [{ "sku": self.sku, "quantity": quantity }], "zone": zone, "slot_id": slot })
    }

    /// Places an order as soon as orders has heard of the goods.
    async fn place(
        &self,
        customer: &Client,
        quantity: u32,
        zone: &str,
        slot: &str,
    ) -> anyhow::Result<String> {
        let body = self.order_body(quantity, zone, slot);
        let mut placed = None;
        wait_for("orders to know the goods", WITHIN, async || {
            let answer = customer.post("/api/orders", &body).await?;
            if answer.code() == Some("unknown_sku") {
                return Ok(false);
            }
            placed = Some(answer.success()?);
            Ok(true)
        })
        .await?;
        let id = placed
            .as_ref()
            .and_then(|order| order["id"].as_str())
            .context("an order without an id")?;
        Ok(id.to_owned())
    }

    /// Shows the order's timeline and compares what it must end in with what it ended in.
    async fn check(&self, title: &str, customer: &Client, order: &str, end: &End<'_>) -> anyhow::Result<()> {
        let finished = customer.finished(order, WITHIN).await?;
        show(title, &finished);
        ensure!(
            finished["status"] == end.status,
            "status {} instead of {}",
            finished["status"],
            end.status
        );
        ensure!(
            finished["outcome_reason"].as_str() == end.reason,
            "reason {}",
            finished["outcome_reason"]
        );
        // Everyone undoes for themselves, a moment before or after the money is settled.
        wait_for("balance, stock, slot and notification", WITHIN, async || {
            let found = self.found(customer, order).await?;
            let wanted = json!({ "available": end.available, "held": 0, "stock": end.stock, "free": end.free, "told": 1 });
            if found == wanted { Ok(true) } else { bail!("{found} instead of {wanted}") }
        })
        .await
    }

    async fn found(&self, customer: &Client, order: &str) -> anyhow::Result<Value> {
        let account = customer.get("/api/account").await?.success()?;
        let goods = self
            .guest
            .get(&format!("/api/goods/{}", self.sku))
            .await?
            .success()?;
        let slots = self
            .guest
            .get(&format!("/api/zones/{}/slots", self.zone))
            .await?
            .success()?;
        let slot = slots["items"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|slot| slot["id"] == *self.slot);
        let told = customer.get("/api/notifications").await?.success()?;
        let ends = ["delivered", "rejected", "cancelled", "refunded"];
        let told = told["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|notification| {
                notification["order_id"] == *order
                    && notification["kind"]
                        .as_str()
                        .is_some_and(|kind| ends.contains(&kind))
            });
        Ok(json!({
            "available": account["available"],
            "held": account["held"],
            "stock": goods["available"],
            "free": slot.map(|slot| slot["free"].clone()),
            "told": told.count(),
        }))
    }
}

/// The timeline as a table, with the milliseconds since the order was placed.
fn show(title: &str, order: &Value) {
    println!("{title}: order {}", order["id"].as_str().unwrap_or_default());
    let steps: Vec<&Value> = order["timeline"].as_array().into_iter().flatten().collect();
    let time = |step: &Value| {
        step["at"]
            .as_str()
            .and_then(|at| chrono::DateTime::parse_from_rfc3339(at).ok())
    };
    let start = steps.first().and_then(|step| time(step));
    for step in steps {
        let after = time(step)
            .zip(start)
            .map_or(0, |(at, start)| (at - start).num_milliseconds());
        let (event, text) = (
            step["event"].as_str().unwrap_or_default(),
            step["text"].as_str().unwrap_or_default(),
        );
        println!("  {after:>6} ms  {event:<28} {text}");
    }
    println!(
        "  → {}{}\n",
        order["status"].as_str().unwrap_or_default(),
        reason(order)
    );
}

fn reason(order: &Value) -> String {
    order["outcome_reason"]
        .as_str()
        .map(|reason| format!(" ({reason})"))
        .unwrap_or_default()
}
