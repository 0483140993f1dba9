use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use tovar::{
    client::{Client, wait_for},
    demo::stock::{add_slot, list_goods},
    store_file::StoreFile,
};
use uuid::Uuid;

const MANY: u32 = 100_000;
/// For as long a customer tries to place one order.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(100);
/// Between two orders of a customer: it is about what survives, not about how much a small node can do.
const AT_REST: Duration = Duration::from_millis(600);
const FINISHED_WITHIN: Duration = Duration::from_secs(180);

/// Customers who place orders, one after the other, until they are told to stop.
pub struct Load {
    stop: CancellationToken,
    customers: Vec<JoinHandle<anyhow::Result<Placed>>>,
}

/// What one customer placed.
struct Placed {
    customer: Client,
    orders: Vec<String>,
    retried: BTreeMap<String, usize>,
}

/// What came of it.
#[derive(Default, Debug)]
pub struct Tally {
    pub delivered: usize,
    /// Requests that were sent again with the same key, by why.
    pub retried: BTreeMap<String, usize>,
}

impl Load {
    pub async fn start(store: &StoreFile, customers: usize) -> anyhow::Result<Self> {
        let guest = Client::new(&store.base_url);
        let manager = guest
            .log_in(&store.manager.email, &store.manager.password)
            .await?;
        let mark = Uuid::new_v4().simple().to_string()[..8].to_owned();
        let (sku, zone) = (format!("load-{mark}"), format!("load-{mark}"));
        list_goods(&manager, &sku, "Goods", 1, MANY).await?;
        let handover = json!({ "handover": "locker" });
        manager
            .put(&format!("/api/zones/{zone}"), &handover)
            .await?
            .success()?;
        let slot = add_slot(&manager, &zone, i64::from(MANY)).await?;
        let body = json!({ "lines": [{ "sku": sku, "quantity": 1 }], "zone": zone, "slot_id": slot });
        let mut load = Self {
            stop: CancellationToken::new(),
            customers: Vec::new(),
        };
        for _ in 0..customers {
            let customer = guest.new_customer(i64::from(MANY)).await?;
            // The first one waits until orders has heard of the goods.
            wait_for("orders to know the goods", PATIENCE, async || {
                Ok(customer.post("/api/orders", &body).await?.status.is_success())
            })
            .await?;
            let (body, stop) = (body.clone(), load.stop.clone());
            load.customers.push(tokio::spawn(shop(customer, body, stop)));
        }
        Ok(load)
    }

    /// Waits until every order that was accepted is delivered.
    pub async fn stop(self) -> anyhow::Result<Tally> {
        self.stop.cancel();
        let mut all = Tally::default();
        for customer in self.customers {
            let placed = customer.await??;
            for order in &placed.orders {
                let order = placed.customer.finished(order, FINISHED_WITHIN).await?;
                ensure!(order["status"] == "delivered", "an order is {order}");
            }
            all.delivered += placed.orders.len();
            for (why, count) in placed.retried {
                *all.retried.entry(why).or_default() += count;
            }
        }
        Ok(all)
    }
}

impl Tally {
    pub fn report(&self, what: &str) -> anyhow::Result<()> {
        eprintln!(
            "         {what}: {} orders placed and delivered; sent again: {:?}",
            self.delivered, self.retried
        );
        ensure!(self.delivered >= 20, "too few orders to tell anything");
        Ok(())
    }
}

async fn shop(customer: Client, body: Value, stop: CancellationToken) -> anyhow::Result<Placed> {
    let mut placed = Placed {
        customer,
        orders: Vec::new(),
        retried: BTreeMap::new(),
    };
    while !stop.is_cancelled() {
        let order = place(&placed.customer, &body, &mut placed.retried).await?;
        placed.orders.push(order);
        tokio::time::sleep(AT_REST).await;
    }
    Ok(placed)
}

/// One intent with one key: sent again when the connection breaks or the answer asks for it, and for nothing else.
async fn place(
    customer: &Client,
    body: &Value,
    retried: &mut BTreeMap<String, usize>,
) -> anyhow::Result<String> {
    let key = Uuid::new_v4().to_string();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let again = match customer
            .send(Method::POST, "/api/orders", Some(body), Some(&key))
            .await
        {
            Ok(answer) if answer.status.is_success() => {
                let id = answer.body["id"].as_str().context("an order without an id")?;
                return Ok(id.to_owned());
            }
            // The broken connection's request is still at work.
            Ok(answer) if answer.code() == Some("idempotency_key_in_progress") => {
                "answered idempotency_key_in_progress".to_owned()
            }
            Ok(answer) => {
                let status = answer.status.as_u16();
                ensure!(
                    [429, 502, 503, 504].contains(&status),
                    "an order was answered with {answer:?}"
                );
                format!("answered {status}")
            }
            Err(_) => "connection broken".to_owned(),
        };
        *retried.entry(again).or_default() += 1;
        ensure!(Instant::now() < deadline, "an order could not be placed");
        tokio::time::sleep(PAUSE).await;
    }
}
