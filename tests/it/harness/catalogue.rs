use serde_json::{Value, json};
use tovar::client::{Client, wait_for};

use super::{MustSucceed, Store, WITHIN};

/// What a test sells: one kind of goods, and a slot of a zone to deliver them to.
pub struct Catalogue {
    pub sku: &'static str,
    pub zone: &'static str,
    pub slot: String,
}

/// Of one piece, in minor units.
pub const PRICE: i64 = 1_000;

impl Catalogue {
    /// `pieces` of one kind of goods at 1000 each, and a slot of `places` in a locker zone.
    pub async fn open(store: &Store, pieces: u32, places: u32) -> Self {
        Self::set_up(store, pieces, places, ("lockers", "locker")).await
    }

    /// As [`Self::open`], in a zone where couriers deliver.
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
        manager.ok_put(&format!("/api/goods/{sku}"), &goods).await;
        let receipt = json!({ "quantity": pieces });
        manager
            .ok_post(&format!("/api/goods/{sku}/receipts"), &receipt)
            .await;
        manager
            .ok_put(
                &format!("/api/zones/{zone}"),
                &json!({ "handover": handover }),
            )
            .await;
        let slot = Self::add_slot(manager, zone, places).await;
        Self { sku, zone, slot }.wait_until_known(store).await
    }

    pub async fn add_slot(manager: &Client, zone: &str, places: u32) -> String {
        let body = json!({
            "starts_at": "2099-01-01T10:00:00Z",
            "ends_at": "2099-01-01T12:00:00Z",
            "capacity": places,
        });
        let slot = manager
            .ok_post(&format!("/api/zones/{zone}/slots"), &body)
            .await;
        slot["id"].as_str().unwrap().to_owned()
    }

    /// Waits until orders has heard of the goods by event.
    async fn wait_until_known(self, store: &Store) -> Self {
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
        json!({
            "lines": [{ "sku": self.sku, "quantity": quantity }],
            "zone": zone,
            "slot_id": slot,
        })
    }

    /// Places an order, and gives its id.
    pub async fn place(&self, customer: &Client, body: &Value) -> String {
        let placed = customer.ok_post("/api/orders", body).await;
        placed["id"].as_str().unwrap().to_owned()
    }

    /// Places an order, waits for its end, and gives the order.
    pub async fn buy(&self, customer: &Client, body: &Value) -> Value {
        let order = self.place(customer, body).await;
        customer.finished(&order, WITHIN).await.unwrap()
    }

    /// Waits until the customer's money, the goods, the slot's free places and the notifications
    /// of ends are as `wanted`: each service undoes its part at a time of its own.
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
