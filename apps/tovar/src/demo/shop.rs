use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    show,
    stock::{add_slot, list_goods},
};
use crate::client::{Client, wait_for};

/// Bounds each wait of a scenario.
pub const SCENARIO_TIMEOUT: Duration = Duration::from_secs(60);
/// Price of the goods, in minor units.
pub const PRICE: i64 = 1_000;
/// Pieces on the shelf: enough for all scenarios.
const PIECES: u32 = 1_000;
/// Places in each slot: enough for all scenarios.
const PLACES: i64 = 1_000;

/// Goods, zones and slots for the demo alone, so that other orders do not change what it checks.
pub struct Shop {
    pub guest: Client,
    pub manager: Client,
    pub lockers: Place,
    pub couriers: Place,
    sku: String,
}

/// A zone with a slot.
#[derive(Clone)]
pub struct Place {
    pub zone: String,
    pub slot: String,
}

/// The expected end of an order.
pub struct End {
    pub status: &'static str,
    pub reason: Option<&'static str>,
    /// Pieces that the customer keeps and has paid for, with a place in the slot.
    pub kept: i64,
}

impl End {
    pub const fn delivered(kept: i64) -> Self {
        Self {
            status: "delivered",
            reason: None,
            kept,
        }
    }

    pub const fn undone(status: &'static str, reason: &'static str) -> Self {
        Self {
            status,
            reason: Some(reason),
            kept: 0,
        }
    }
}

/// The customer's money, the goods on the shelf and the free places of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holdings {
    available: i64,
    held: i64,
    stock: i64,
    free: i64,
}

impl Shop {
    pub async fn open(guest: Client, manager: Client) -> anyhow::Result<Self> {
        let mark = Uuid::new_v4().simple().to_string()[..8].to_owned();
        let sku = format!("demo-{mark}");
        list_goods(&manager, &sku, "Demo goods", PRICE, PIECES).await?;
        let place = async |handover: &str| {
            let zone = format!("demo-{handover}-{mark}");
            let served = json!({ "handover": handover });
            manager
                .put(&format!("/api/zones/{zone}"), &served)
                .await?
                .success()?;
            let slot = add_slot(&manager, &zone, PLACES).await?;
            anyhow::Ok(Place { zone, slot })
        };
        let (lockers, couriers) = (place("locker").await?, place("courier").await?);
        Ok(Self {
            guest,
            manager,
            lockers,
            couriers,
            sku,
        })
    }

    pub fn order_body(&self, quantity: u32, place: &Place) -> Value {
        json!({
            "lines": [{ "sku": self.sku, "quantity": quantity }], "zone": place.zone,
            "slot_id": place.slot,
        })
    }

    /// Places an order as soon as the service orders knows the goods; returns its id.
    pub async fn place(
        &self,
        customer: &Client,
        quantity: u32,
        place: &Place,
    ) -> anyhow::Result<String> {
        let body = self.order_body(quantity, place);
        let mut placed = None;
        wait_for("orders to know the goods", SCENARIO_TIMEOUT, async || {
            let answer = customer.post("/api/orders", &body).await?;
            if answer.code() == Some("unknown_sku") {
                return Ok(false);
            }
            placed = Some(answer.success()?);
            Ok(true)
        })
        .await?;
        let id = placed.as_ref().and_then(|order| order["id"].as_str());
        Ok(id.context("an order without an id")?.to_owned())
    }

    /// Reads the holdings, to compare those before an order with those after it.
    pub async fn holdings(&self, customer: &Client, place: &Place) -> anyhow::Result<Holdings> {
        let account = customer.get("/api/account").await?.success()?;
        let goods = self
            .guest
            .get(&format!("/api/goods/{}", self.sku))
            .await?
            .success()?;
        let slots = format!("/api/zones/{}/slots", place.zone);
        let slots = self.guest.get(&slots).await?;
        let slots = if slots.status.is_success() {
            slots.body
        } else {
            Value::Null
        };
        let mut all = slots["items"].as_array().into_iter().flatten();
        let slot = all.find(|slot| slot["id"] == *place.slot);
        let number = |value: &Value| value.as_i64().unwrap_or_default();
        Ok(Holdings {
            available: number(&account["available"]),
            held: number(&account["held"]),
            stock: number(&goods["available"]),
            free: slot.map_or(0, |slot| number(&slot["free"])),
        })
    }

    /// Waits for the order's end, prints its timeline, and compares its result with the expected
    /// one.
    pub async fn check(
        &self,
        title: &str,
        (customer, place): (&Client, &Place),
        order: &str,
        before: Holdings,
        end: &End,
    ) -> anyhow::Result<()> {
        let finished = customer.finished(order, SCENARIO_TIMEOUT).await?;
        let found = (
            finished["status"].as_str(),
            finished["outcome_reason"].as_str(),
        );
        let wanted = (Some(end.status), end.reason);
        if found != wanted {
            show::timeline(title, &finished);
        }
        ensure!(
            found == wanted,
            "order {order} ended as {found:?} instead of {wanted:?}"
        );
        let kept = end.kept;
        let wanted = Holdings {
            available: before.available - kept * PRICE,
            held: 0,
            stock: before.stock - kept,
            free: before.free - i64::from(kept > 0),
        };
        // Each service undoes its own part, a moment before or after the money is settled.
        wait_for(
            "balance, stock, slot and notification",
            SCENARIO_TIMEOUT,
            async || {
                let (found, notified) = (
                    self.holdings(customer, place).await?,
                    notified(customer, order).await?,
                );
                if found == wanted && notified == [end.status] {
                    return Ok(true);
                }
                bail!(
                    "order {order}: {found:?} instead of {wanted:?}, and the customer was told \
                     {notified:?}"
                )
            },
        )
        .await?;
        let finished = customer
            .get(&format!("/api/orders/{order}"))
            .await?
            .success()?;
        show::timeline(title, &finished);
        Ok(())
    }
}

/// The outcomes of the order in the customer's notifications.
async fn notified(customer: &Client, order: &str) -> anyhow::Result<Vec<String>> {
    let notifications = customer.get("/api/notifications").await?.success()?;
    let items = notifications["items"].as_array().into_iter().flatten();
    let of_order = items.filter(|item| item["order_id"] == *order);
    let kinds = of_order.filter_map(|item| item["kind"].as_str());
    Ok(kinds
        .filter(|kind| *kind != "shipped")
        .map(ToOwned::to_owned)
        .collect())
}
