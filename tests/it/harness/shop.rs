use std::time::Duration;

use serde_json::{Value, json};
use tovar::client::{Client, wait_for};

use super::Store;

/// Something to sell and a place to deliver it to.
pub struct Shop {
    pub sku: &'static str,
    pub zone: &'static str,
    pub slot: String,
}

pub const PRICE: i64 = 1_000;
pub const WITHIN: Duration = Duration::from_secs(60);

impl Shop {
    /// `pieces` of one kind of goods at 1000 each, and a slot of `places` in a locker zone.
    pub async fn open(store: &Store, pieces: u32, places: u32) -> Self {
        Self::set_up(store, pieces, places, ("lockers", "locker")).await
    }

    /// The same in a zone where couriers deliver.
    pub async fn open_with_couriers(store: &Store, pieces: u32, places: u32) -> Self {
        Self::set_up(store, pieces, places, ("couriers", "courier")).await
    }

    async fn set_up(
        store: &Store,
        pieces: u32,
        places: u32,
        (zone, handover): (&'static str, &str),
    ) -> Self {
        let sku = "tea";
        let manager = &store.manager;
        let goods = json!({ "name": "Tea", "price": PRICE });
        manager
            .put(&format!("/api/goods/{sku}"), &goods)
            .await
            .unwrap()
            .success()
            .unwrap();
        let receipt = json!({ "quantity": pieces });
        manager
            .post(&format!("/api/goods/{sku}/receipts"), &receipt)
            .await
            .unwrap()
            .success()
            .unwrap();
        manager
            .put(
                &format!("/api/zones/{zone}"),
                &json!({ "handover": handover }),
            )
            .await
            .unwrap()
            .success()
            .unwrap();
        let slot = Self::add_slot(manager, zone, places).await;
        Self { sku, zone, slot }.until_known(store).await
    }

    pub async fn add_slot(manager: &Client, zone: &str, places: u32) -> String {
        let body = json!({ "starts_at": "2099-01-01T10:00:00Z", "ends_at": "2099-01-01T12:00:00Z", "capacity": places });
        let slot = manager
            .post(&format!("/api/zones/{zone}/slots"), &body)
            .await
            .unwrap()
            .success()
            .unwrap();
        slot["id"].as_str().unwrap().to_owned()
    }

    /// Orders hears of the goods by event.
    async fn until_known(self, store: &Store) -> Self {
        let orders = store.sql("orders").await;
        wait_for("orders to know the goods", WITHIN, async || {
            Ok(orders
                .query_opt("SELECT FROM goods WHERE sku = $1", &[&self.sku])
                .await?
                .is_some())
        })
        .await
        .unwrap();
        self
    }

    pub fn order(&self, quantity: u32) -> Value {
        self.order_to(quantity, self.zone, &self.slot)
    }

    pub fn order_to(&self, quantity: u32, zone: &str, slot: &str) -> Value {
        json!({ "lines": [{ "sku": self.sku, "quantity": quantity }], "zone": zone, "slot_id": slot })
    }

    /// Places an order; its id.
    pub async fn place(&self, customer: &Client, body: &Value) -> String {
        let placed = customer.post("/api/orders", body).await.unwrap();
        placed.success().unwrap()["id"].as_str().unwrap().to_owned()
    }

    /// Waits until the order has one of these statuses; the order.
    pub async fn until(customer: &Client, order: &str, statuses: &[&str]) -> Value {
        let mut last = Value::Null;
        let hope = format!("the order to be one of {statuses:?}");
        let waited = wait_for(&hope, WITHIN, async || {
            last = customer
                .get(&format!("/api/orders/{order}"))
                .await?
                .success()?;
            Ok(statuses.contains(&last["status"].as_str().unwrap_or_default()))
        });
        waited.await.unwrap();
        last
    }

    /// Places an order and waits for its end; the order.
    pub async fn buy(&self, customer: &Client, body: &Value) -> Value {
        let order = self.place(customer, body).await;
        customer.finished(&order, WITHIN).await.unwrap()
    }

    /// What is available and held of the customer's money, and of goods and places, and how often
    /// the customer was told of an end; waited for, because everyone undoes for themselves.
    pub async fn expect(&self, store: &Store, customer: &Client, slot: &str, wanted: Value) {
        let settled = wait_for(
            "balance, stock, slot and notifications",
            WITHIN,
            async || {
                let found = self.found(store, customer, slot).await?;
                anyhow::ensure!(found == wanted, "{found} instead of {wanted}");
                Ok(true)
            },
        );
        settled.await.unwrap();
    }

    async fn found(&self, store: &Store, customer: &Client, slot: &str) -> anyhow::Result<Value> {
        let account = customer.get("/api/account").await?.success()?;
        let goods = store
            .guest
            .get(&format!("/api/goods/{}", self.sku))
            .await?
            .success()?;
        let slots = store
            .guest
            .get(&format!("/api/zones/{}/slots", self.zone))
            .await?
            .success()?;
        let slot = slots["items"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|found| found["id"] == *slot);
        let told = customer.get("/api/notifications").await?.success()?;
        let ends = ["delivered", "rejected", "cancelled", "refunded"];
        let kinds = told["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|item| item["kind"].as_str());
        let told: Vec<&str> = kinds.filter(|kind| ends.contains(kind)).collect();
        Ok(json!({
            "available": account["available"], "held": account["held"], "stock": goods["available"],
            "free": slot.map(|slot| slot["free"].clone()), "told": told,
        }))
    }
}
