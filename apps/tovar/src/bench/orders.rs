//! `cargo tovar bench orders`: whole orders, placed over HTTP and watched until they are final.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::Args;
use connect::KafkaSettings;
use contracts::orders::{Finished, Outcome};
use futures_util::future::try_join_all;
use kernel::{Event, OrderId};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::BorrowedMessage,
};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    hops,
    processes::{Processes, children_of, resident},
    report::BenchReport,
};
use crate::{
    client::{Client, wait_for},
    demo::stock::{add_slot, list_goods},
    services::SERVICES,
    store_file::StoreFile,
    topics::{ends, header, is_within_reach},
    verify::{self, Sources},
};

#[derive(Clone, Debug, Args)]
pub struct OrdersArgs {
    /// Customers who order at the same time, one measurement for each number
    #[arg(long, value_delimiter = ',', default_value = "1,8,32,128")]
    customers: Vec<usize>,

    /// Seconds of each measurement
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

/// Orders of this time do not count: caches and connections are cold before.
const WARM_UP: Duration = Duration::from_secs(3);
/// Bounds the time of one order from its request to its end.
const ORDER_TIMEOUT: Duration = Duration::from_secs(60);
/// How many goods and slots there are: enough that customers do not wait for each other's rows more
/// than in a real shop.
const GOODS: usize = 50;
const SLOTS: usize = 10;

pub async fn measure(
    args: &OrdersArgs,
    store: &StoreFile,
    report: &mut BenchReport,
) -> anyhow::Result<()> {
    report.setting(
        "order",
        "one line, to a locker; the customer waits for its end on the topic before the next one",
    );
    let shop = BenchShop::open(store).await?;
    let mut bought = Vec::new();
    for &customers in &args.customers {
        eprintln!("measuring: {customers} customers");
        let time = Duration::from_secs(args.seconds);
        bought.push((
            customers,
            shop.measure(customers, time, store, report).await?,
        ));
    }
    eprintln!("following the orders");
    let sent = hops::sent_times(store).await?;
    for (customers, orders) in bought {
        let part = format!("{customers} customers: an order's way");
        hops::measure(store, &sent, &orders, &part, report).await?;
    }
    eprintln!("checking the store");
    let checked = verify::settled(
        &Sources::of(store, verify::DEFAULT_KEY_HOURS),
        Duration::from_secs(120),
    )
    .await?;
    ensure!(
        checked.outcome == verify::Outcome::Clean,
        "the store is not clean:\n{}",
        checked.text()
    );
    report.setting("verify", "clean");
    Ok(())
}

struct BenchShop {
    guest: Client,
    bodies: Vec<Value>,
    ends: Ends,
}

/// An order that was delivered; its times in milliseconds.
struct Bought {
    order: OrderId,
    request: f64,
    whole: f64,
}

impl BenchShop {
    async fn open(store: &StoreFile) -> anyhow::Result<Self> {
        let guest = Client::new(&store.base_url);
        let who = store.manager()?;
        let manager = guest.log_in(&who.email, &who.password).await?;
        let mark = &Uuid::new_v4().simple().to_string()[..8];
        let zone = format!("bench-{mark}");
        manager
            .put(
                &format!("/api/zones/{zone}"),
                &json!({ "handover": "locker" }),
            )
            .await?
            .success()?;
        let mut slots = Vec::new();
        for _ in 0..SLOTS {
            slots.push(add_slot(&manager, &zone, 100_000).await?);
        }
        let mut bodies = Vec::new();
        for number in 0..GOODS {
            let sku = format!("bench-{mark}-{number}");
            list_goods(&manager, &sku, "Bench goods", 1, 1_000_000).await?;
            bodies.push(json!({
                "lines": [{ "sku": sku, "quantity": 1 }], "zone": zone,
                "slot_id": slots[number % SLOTS],
            }));
        }
        let shop = Self {
            guest,
            bodies,
            ends: Ends::watch(store)?,
        };
        // Orders learns of goods by event.
        let first = shop.guest.new_customer(1_000).await?;
        for body in &shop.bodies {
            wait_for(
                "the goods to be known to orders",
                ORDER_TIMEOUT,
                async || {
                    let answer = first.post("/api/orders", body).await?;
                    Ok(answer.code() != Some("unknown_sku") && answer.success().is_ok())
                },
            )
            .await?;
        }
        Ok(shop)
    }

    async fn measure(
        &self,
        count: usize,
        time: Duration,
        store: &StoreFile,
        report: &mut BenchReport,
    ) -> anyhow::Result<Vec<OrderId>> {
        let part = format!("{count} customers");
        let mut customers = Vec::new();
        for _ in 0..count {
            customers.push(self.guest.new_customer(1_000_000).await?);
        }
        self.buy_for(&customers, WARM_UP).await?;
        let before = Processes::now();
        let began = Instant::now();
        let bought = self.buy_for(&customers, time).await?;
        let seconds = began.elapsed().as_secs_f64();
        let after = Processes::now();
        let orders = bought.len() as f64;
        report.number(&part, "whole orders", "/s", orders / seconds);
        let (mut requests, mut whole): (Vec<f64>, Vec<f64>) =
            bought.iter().map(|one| (one.request, one.whole)).unzip();
        report.percentiles(&part, "POST /api/orders", "ms", &mut requests);
        report.percentiles(&part, "placed to delivered", "ms", &mut whole);
        let before = before.by_kind(store.pid);
        for (kind, cpu) in after.by_kind(store.pid) {
            let spent = cpu - before.get(&kind).copied().unwrap_or_default();
            report.number(
                &part,
                &format!("CPU of an order in {kind}"),
                "ms",
                spent * 1e3 / orders,
            );
        }
        let ours = children_of(store.pid).into_iter().filter(|(_, program)| {
            program == "outbox-relay" || SERVICES.iter().any(|service| service.name == program)
        });
        let kilobytes: u64 = ours.map(|(id, _)| resident(id)).sum();
        report.number(
            &part,
            "memory of services and relays",
            "MB",
            kilobytes as f64 / 1024.0,
        );
        Ok(bought.iter().map(|one| one.order).collect())
    }

    /// Lets every customer place one order after the other, for `time`.
    async fn buy_for(&self, customers: &[Client], time: Duration) -> anyhow::Result<Vec<Bought>> {
        let end = Instant::now() + time;
        let all = customers.iter().enumerate().map(|(number, customer)| {
            let (customer, body, ends) = (
                customer.clone(),
                self.bodies[number % GOODS].clone(),
                self.ends.clone(),
            );
            tokio::spawn(async move {
                let mut bought = Vec::new();
                while Instant::now() < end {
                    bought.push(buy(&customer, &body, &ends).await?);
                }
                anyhow::Ok(bought)
            })
        });
        let mut bought = Vec::new();
        for customer in try_join_all(all).await? {
            bought.extend(customer?);
        }
        ensure!(!bought.is_empty(), "no order was placed");
        Ok(bought)
    }
}

async fn buy(customer: &Client, body: &Value, ends: &Ends) -> anyhow::Result<Bought> {
    let began = Instant::now();
    let answer = customer.post("/api/orders", body).await?.success()?;
    let request = began.elapsed();
    let id = answer["id"]
        .as_str()
        .context("an order without an id")?
        .parse()?;
    let (outcome, at) = ends.of(id).await?;
    ensure!(
        outcome == Outcome::Delivered,
        "order {id} ended as {outcome:?}"
    );
    Ok(Bought {
        order: id,
        request: request.as_secs_f64() * 1e3,
        whole: at.saturating_duration_since(began).as_secs_f64() * 1e3,
    })
}

type End = (Outcome, Instant);

/// The end of an order, or the customer that waits for it.
enum OrderEnd {
    /// It is known, and no customer has asked for it yet.
    Known(End),
    Awaited(oneshot::Sender<End>),
}

/// The ends of orders, read from the topic.
#[derive(Clone)]
struct Ends {
    ends: Arc<Mutex<HashMap<OrderId, OrderEnd>>>,
    _reading: Arc<tokio_util::sync::DropGuard>,
}

impl Ends {
    fn watch(store: &StoreFile) -> anyhow::Result<Self> {
        let kafka = KafkaSettings::new(&store.kafka_brokers, &store.kafka_prefix);
        is_within_reach(&kafka)?;
        let mut config = kafka.client_config("bench");
        config
            .set(
                "group.id",
                kafka.topic(&format!("bench-{}", Uuid::new_v4())),
            )
            .set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create()?;
        let topic = kafka.topic(Finished::TOPIC);
        // From the present ends of the topic: so the end of each later order is seen, however long
        // the consumer takes to start.
        let mut partitions = TopicPartitionList::new();
        for ((_, end), partition) in ends(&consumer, &topic)?.into_iter().zip(0..) {
            partitions.add_partition_offset(&topic, partition, Offset::Offset(end))?;
        }
        consumer.assign(&partitions)?;
        let waiting = Arc::<Mutex<HashMap<OrderId, OrderEnd>>>::default();
        let stop = CancellationToken::new();
        let (known, stopped) = (waiting.clone(), stop.clone());
        std::thread::spawn(move || {
            while !stopped.is_cancelled() {
                let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else {
                    continue;
                };
                if let Some((id, status)) = finished(&message) {
                    notify(&known, id, (status, Instant::now()));
                }
            }
        });
        Ok(Self {
            ends: waiting,
            _reading: Arc::new(stop.drop_guard()),
        })
    }

    async fn of(&self, order: OrderId) -> anyhow::Result<End> {
        let waiting = {
            let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(OrderEnd::Known(end)) = ends.remove(&order) {
                return Ok(end);
            }
            let (sender, receiver) = oneshot::channel();
            ends.insert(order, OrderEnd::Awaited(sender));
            receiver
        };
        let ended = tokio::time::timeout(ORDER_TIMEOUT, waiting).await;
        Ok(ended.with_context(|| {
            format!(
                "order {order} is not final after {} s",
                ORDER_TIMEOUT.as_secs()
            )
        })??)
    }
}

fn notify(ends: &Mutex<HashMap<OrderId, OrderEnd>>, order: OrderId, end: End) {
    let mut ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
    match ends.remove(&order) {
        // A customer that no longer waits has reported it.
        Some(OrderEnd::Awaited(customer)) => drop(customer.send(end)),
        Some(OrderEnd::Known(_)) | None => drop(ends.insert(order, OrderEnd::Known(end))),
    }
}

fn finished(message: &BorrowedMessage<'_>) -> Option<(OrderId, Outcome)> {
    header(message, "ce_type").filter(|event_type| *event_type == Finished::TYPE)?;
    let event: Finished = serde_json::from_slice(message.payload()?).ok()?;
    Some((event.order_id, event.outcome))
}
