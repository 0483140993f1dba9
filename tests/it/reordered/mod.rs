//! Every consumer gets what it subscribes to in orders in which Kafka may deliver it, each event
//! twice.
//!
//! Only the service under test runs. All that the others would tell it comes from their outboxes,
//! where the test puts it, step by step, so that the order of arrival across topics is the test's.

mod meanwhile;
mod stories;
mod told;

use std::collections::{BTreeMap, BTreeSet};

use contracts::{Line, OrderSheet};
use db::{Db, DbSettings};
use kernel::{Money, OrderId, UserId};
use outbox::PublishError;
use rand::{SeedableRng, rngs::StdRng};
use serde_json::json;
use service_kit::Service;
use stories::{STORIES, Story};
use told::Told;
use tovar::client::{Client, wait_for};
use uuid::Uuid;

use crate::harness::{Catalogue, MustSucceed, Store, WITHIN};

/// Orders of arrival per story; there are no more than that for most.
const ORDERS_OF_ARRIVAL: usize = 12;
const PRICE: i64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn billing_ends_the_same_in_every_order_of_arrival() {
    let ends = |story: &str| match story {
        "delivered" | "stopped too late" => "captured",
        "customer gone" => "closed",
        _ => "released refunded settled",
    };
    let store = check::<billing::Billing>(
        "SELECT order_id, state FROM holds UNION ALL SELECT user_id, status FROM accounts",
        ends,
    )
    .await;
    let left = "SELECT count(*) FROM accounts WHERE held <> 0
        OR available <> (SELECT coalesce(sum(p.amount), 0) FROM postings p JOIN entry_sets e ON \
        e.id = p.entry_set_id
                         WHERE e.user_id = accounts.user_id AND p.account = 'user_available')";
    assert_eq!(number(&store, "billing", left).await, 0);
    store.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_ends_the_same_in_every_order_of_arrival() {
    let ends = |story: &str| match story {
        "delivered" | "stopped too late" => "delivered",
        "cancelled" => "cancelled",
        "recipient absent" => "refunded",
        "goods listed" => "listed",
        _ => "rejected",
    };
    let listed = "SELECT id, status FROM orders UNION ALL SELECT sku::uuid, 'listed' FROM goods \
        WHERE name = 'Listed'";
    check::<orders::Orders>(listed, ends).await.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_warehouse_ends_the_same_in_every_order_of_arrival() {
    let ends = |story: &str| match story {
        "delivered" => "shipped",
        "stopped too late" => "shipped released",
        "recipient absent" => "returned",
        "payment refused" => "",
        _ => "released refused",
    };
    let store = check::<warehouse::Warehouse>("SELECT order_id, state FROM parcels", ends).await;
    let left = "SELECT count(*) FROM goods WHERE reserved <> 0
                OR on_hand <> (SELECT sum(quantity) FROM movements WHERE movements.sku = \
                goods.sku)";
    assert_eq!(number(&store, "warehouse", left).await, 0);
    store.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_ends_the_same_in_every_order_of_arrival() {
    let ends = |story: &str| match story {
        "delivered" | "stopped too late" => "delivered",
        _ => "freed refused",
    };
    let store = check::<delivery::Delivery>("SELECT order_id, state FROM bookings", ends).await;
    let left = "SELECT sum(booked)::bigint - (SELECT count(*) FROM bookings WHERE state = \
        'delivered') FROM slots";
    assert_eq!(number(&store, "delivery", left).await, 0);
    store.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_ends_the_same_in_every_order_of_arrival() {
    let ends = |story: &str| match story {
        "delivered" | "stopped too late" => "delivered+shipped",
        "cancelled" => "cancelled",
        "recipient absent" => "refunded+shipped",
        "customer gone" => "registered+topped_up+withdrawn",
        _ => "rejected",
    };
    let told = "SELECT coalesce(order_id, user_id), string_agg(kind, '+' ORDER BY kind) FROM \
        notifications GROUP BY 1";
    check::<notifications::Notifications>(told, ends)
        .await
        .end()
        .await;
}

/// An order (or customer, or goods) and the order in which the service hears of it.
struct Case {
    story: &'static Story,
    sheet: OrderSheet,
    steps: Vec<Told>,
}

/// Tells the service every story that concerns it, and looks how each ends in its database: `ends`
/// of a story are the states that are right, `found` is the query for `(id, state)`.
async fn check<S: Service>(found: &str, ends: fn(&str) -> &'static str) -> Store {
    let hears = S::subscriptions().event_types();
    let in_stories: BTreeSet<_> = STORIES.iter().flat_map(|story| story.events).collect();
    for event_type in &hears {
        let is_told = in_stories
            .iter()
            .any(|(told, _)| told.event_type() == *event_type);
        assert!(is_told, "{event_type} is in none of the stories here");
    }
    let (store, catalogue, customer) = alone::<S>().await;
    let callers = Callers {
        customer: customer.clone(),
        courier: store.new_user("courier").await,
    };
    // Each service notes whose tokens are void.
    let found = &format!("{found} UNION ALL SELECT user_id, 'void' FROM void_tokens");
    let cases = cases(S::NAME, &hears, &catalogue, &customer).await;
    let outboxes = Outboxes::open(&store).await;
    let (mut again, mut late) = (0, Vec::new());
    for step in 0..cases
        .iter()
        .map(|case| case.steps.len())
        .max()
        .unwrap_or_default()
    {
        let now = cases
            .iter()
            .filter_map(|case| Some((case, *case.steps.get(step)?)));
        let (by_hand, told): (Vec<_>, Vec<_>) = now.partition(|(_, told)| told.is_by_hand(S::NAME));
        for (case, told) in by_hand {
            callers.ask(told, case.sheet.order_id).await;
        }
        let told = outboxes.publish(&told).await;
        until_applied(&store, S::NAME, &told)
            .await
            .unwrap_or_else(|error| panic!("{error}, step {step}"));
        // Half of it comes again at once, the other half when all is over.
        let (at_once, in_the_end) = told.split_at(told.len() / 2);
        outboxes.publish_again(&store, at_once).await;
        again += at_once.len();
        late.extend(in_the_end);
    }
    outboxes.publish_again(&store, &late).await;
    wait_for("the service to hear all of it again", WITHIN, async || {
        Ok(duplicates(&store, S::NAME).await == again + late.len())
    })
    .await
    .unwrap();

    let states = states(&store, S::NAME, found).await;
    for Case {
        story,
        sheet,
        steps,
    } in &cases
    {
        let is_of_a_person = [Told::Registered, Told::TokensVoid].contains(&story.events[0].0);
        let id = if is_of_a_person {
            sheet.user_id.uuid()
        } else {
            sheet.order_id.uuid()
        };
        let state = states.get(&id).map_or("", String::as_str);
        let right = match story.name {
            "logged out" => "void",
            other => ends(other),
        };
        assert!(
            right.split(' ').any(|right| right == state),
            "{}: {state:?} instead of {right:?} after {steps:?}",
            story.name
        );
    }
    let repeated = "SELECT count(*) FROM (SELECT FROM outbox WHERE type LIKE split_part(topic, \
        '-', 2) || '%'
                    GROUP BY key, type HAVING count(*) > 1 AND type NOT LIKE '%goods_listed%') \
                    repeated";
    assert_eq!(
        number(&store, S::NAME, repeated).await,
        0,
        "an event was told twice"
    );
    assert_eq!(
        number(&store, S::NAME, "SELECT count(*) FROM inbox_parked").await,
        0
    );
    store
}

/// A store in which only one service runs, with goods, a slot and a customer.
async fn alone<S: Service>() -> (Store, Catalogue, Client) {
    let mut store = Store::start_with(&[(S::NAME, &["--rate-limit=0"])]).await;
    let catalogue = Catalogue::open_with_couriers(&store, 1_000, 1_000).await;
    let customer = store.guest.new_customer(1_000 * PRICE).await.unwrap();
    for service in [
        "billing",
        "orders",
        "warehouse",
        "delivery",
        "notifications",
    ] {
        if service != S::NAME {
            store.stop_service(service).await;
        }
    }
    (store, catalogue, customer)
}

async fn user_id(customer: &Client) -> UserId {
    let me = customer.ok_get("/api/users/me").await;
    me["id"].as_str().unwrap().parse().unwrap()
}

/// An order for one of the goods.
fn sheet(catalogue: &Catalogue, order_id: OrderId, user_id: UserId) -> OrderSheet {
    OrderSheet {
        order_id,
        user_id,
        lines: vec![Line {
            sku: catalogue.sku.parse().unwrap(),
            quantity: 1,
            unit_price: Money::from_minor(PRICE),
        }],
        currency: "EUR".parse().unwrap(),
        total: Money::from_minor(PRICE),
        zone: catalogue.zone.parse().unwrap(),
        slot_id: catalogue.slot.parse().unwrap(),
    }
}

/// Each story in some of the orders in which it can reach the service.
async fn cases(
    service: &str,
    hears: &[&str],
    catalogue: &Catalogue,
    customer: &Client,
) -> Vec<Case> {
    let user_id = user_id(customer).await;
    let mut random = StdRng::seed_from_u64(7);
    let mut cases = Vec::new();
    for story in &STORIES {
        let steps = story.steps(service, hears);
        let shuffled =
            (0..10 * ORDERS_OF_ARRIVAL).map(|_| story.shuffled(service, &steps, &mut random));
        let different: BTreeSet<Vec<Told>> = shuffled.filter(|steps| !steps.is_empty()).collect();
        for steps in different.into_iter().take(ORDERS_OF_ARRIVAL) {
            let is_of_an_order = story.events[0].0 == Told::Placed;
            let order_id = if service == "orders" && is_of_an_order {
                catalogue
                    .place(customer, &catalogue.order(1))
                    .await
                    .parse()
                    .unwrap()
            } else {
                OrderId::new()
            };
            let user_id = if is_of_an_order {
                user_id
            } else {
                Uuid::now_v7().to_string().parse().unwrap()
            };
            let sheet = sheet(catalogue, order_id, user_id);
            cases.push(Case {
                story,
                sheet,
                steps,
            });
        }
    }
    cases
}

/// The users whose requests cause what no event causes.
struct Callers {
    customer: Client,
    courier: Client,
}

impl Callers {
    async fn ask(&self, told: Told, order: OrderId) {
        if told != Told::StopRequested {
            let order = order.to_string();
            self.courier
                .take_parcel(&order)
                .await
                .unwrap()
                .success()
                .unwrap();
        }
        let (who, path, body) = if told == Told::StopRequested {
            (
                &self.customer,
                format!("/api/orders/{order}/cancellation"),
                json!({}),
            )
        } else {
            let is_delivered = told == Told::Delivered;
            let outcome = if is_delivered {
                "delivered"
            } else {
                "recipient_absent"
            };
            (
                &self.courier,
                format!("/api/deliveries/{order}/outcome"),
                json!({ "outcome": outcome }),
            )
        };
        who.ok_post(&path, &body).await;
    }
}

/// The outboxes of all services, by topic.
struct Outboxes(BTreeMap<&'static str, Db>);

impl Outboxes {
    async fn open(store: &Store) -> Self {
        let mut outboxes = BTreeMap::new();
        for topic in contracts::catalogue::TOPICS {
            let settings = DbSettings::new(&store.databases[topic].owner);
            outboxes.insert(topic, Db::open(&settings, "reordered").await.unwrap());
        }
        Self(outboxes)
    }

    /// Publishes events, and gives the topic and the id of each.
    async fn publish(&self, told: &[(&Case, Told)]) -> Vec<(&'static str, Uuid)> {
        let mut ids = Vec::new();
        for (topic, db) in &self.0 {
            let here: Vec<_> = told
                .iter()
                .filter(|(_, told)| told.topic() == *topic)
                .collect();
            let published =
                db.transaction("reordered.publish", async |tx| -> Result<_, PublishError> {
                    let mut ids = Vec::new();
                    for (case, told) in &here {
                        ids.push(told.publish(tx, &case.sheet)?);
                    }
                    Ok(ids)
                });
            ids.extend(published.await.unwrap().into_iter().map(|id| (*topic, id)));
        }
        ids
    }

    async fn publish_again(&self, store: &Store, told: &[(&'static str, Uuid)]) {
        for topic in self.0.keys() {
            let mut sql = store.sql(topic).await;
            for (_, id) in told.iter().filter(|(on, _)| on == topic) {
                assert!(
                    outbox::log::publish_again(&mut sql, *id, "test")
                        .await
                        .unwrap()
                );
            }
        }
    }
}

async fn until_applied(
    store: &Store,
    service: &str,
    told: &[(&'static str, Uuid)],
) -> anyhow::Result<()> {
    let ids: Vec<Uuid> = told.iter().map(|(_, id)| *id).collect();
    wait_for(
        "the service to apply what it was told",
        WITHIN,
        async || {
            let sql = store.sql(service).await;
            let count = "SELECT count(*) FROM inbox WHERE event_id = ANY($1)";
            let row = sql.query_one(count, &[&ids]).await?;
            Ok(usize::try_from(row.get::<_, i64>(0))? == ids.len())
        },
    )
    .await
}

/// The number of duplicates that the service has dropped.
async fn duplicates(store: &Store, service: &str) -> usize {
    let metrics = reqwest::get(format!("{}/metrics", store.ops[service]))
        .await
        .unwrap();
    let metrics = metrics.text().await.unwrap();
    let lines = metrics
        .lines()
        .filter(|line| line.contains("inbox_events_total{"));
    let dropped = lines.filter(|line| line.contains(r#"outcome="duplicate""#));
    dropped
        .map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap())
        .sum()
}

async fn states(store: &Store, service: &str, found: &str) -> BTreeMap<Uuid, String> {
    let rows = store.sql(service).await.query(found, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn number(store: &Store, service: &str, count: &str) -> i64 {
    store
        .sql(service)
        .await
        .query_one(count, &[])
        .await
        .unwrap()
        .get(0)
}
