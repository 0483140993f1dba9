//! The rules of the Idempotency-Key, on every route whose OpenAPI page says that it takes one.

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tovar::client::{Answer, Client};
use uuid::Uuid;

use crate::harness::{Catalogue, Operation, Store, operations, wait_for_status};

/// A request that would succeed, and one that differs from it; each time another one.
struct Fresh {
    caller: Client,
    path: String,
    body: Value,
    /// Another request of the same kind, if the operation has a body.
    other: Option<Value>,
}

struct World {
    store: Store,
    lockers: Catalogue,
    couriers: Catalogue,
}

impl World {
    async fn fresh(&self, path: &str) -> Fresh {
        let rich = async || self.store.guest.new_customer(50_000).await.unwrap();
        let manager = || self.store.manager.clone();
        let amounts = (json!({ "amount": 100 }), Some(json!({ "amount": 200 })));
        let (caller, path, (body, other)) = match path {
            "/api/users" => {
                let email = format!("{}@example.org", Uuid::new_v4());
                let person = |name: &str| {
                    json!({
                        "email": email,
                        "password": "a good password",
                        "name": name,
                    })
                };
                (
                    self.store.guest.clone(),
                    path.to_owned(),
                    (person("Ada"), Some(person("Bob"))),
                )
            }
            "/api/account/top-ups" | "/api/account/withdrawals" => {
                (rich().await, path.to_owned(), amounts)
            }
            "/api/orders" => {
                let (one, two) = (self.lockers.order(1), self.lockers.order(2));
                (rich().await, path.to_owned(), (one, Some(two)))
            }
            "/api/orders/{id}/cancellation" => {
                let customer = rich().await;
                let order = self.waiting_order(&customer).await;
                (customer, path.replace("{id}", &order), (json!({}), None))
            }
            "/api/orders/{id}/stop" => {
                let order = self.waiting_order(&rich().await).await;
                (manager(), path.replace("{id}", &order), (json!({}), None))
            }
            "/api/orders/{id}/verdict" => {
                let customer = self.store.guest.new_customer(1).await.unwrap();
                let order = self.waiting_order(&customer).await;
                wait_for_status(&customer, &order, &["closing", "rejected"]).await;
                (manager(), path.replace("{id}", &order), (json!({}), None))
            }
            "/api/goods/{sku}/receipts" => {
                let receipts = (json!({ "quantity": 1 }), Some(json!({ "quantity": 2 })));
                (manager(), path.replace("{sku}", self.lockers.sku), receipts)
            }
            "/api/zones/{zone}/slots" => {
                let slot = |capacity| {
                    json!({
                        "starts_at": "2099-01-01T10:00:00Z",
                        "ends_at": "2099-01-01T12:00:00Z",
                        "capacity": capacity,
                    })
                };
                (
                    manager(),
                    path.replace("{zone}", self.lockers.zone),
                    (slot(1), Some(slot(2))),
                )
            }
            "/api/deliveries/{order_id}/outcome" => {
                let order = self.parcel_out().await;
                let outcome = |outcome| json!({ "outcome": outcome });
                let outcomes = (outcome("delivered"), Some(outcome("recipient_absent")));
                (manager(), path.replace("{order_id}", &order), outcomes)
            }
            unknown => panic!("{unknown} takes a key: say here how a request to it succeeds"),
        };
        Fresh {
            caller,
            path,
            body,
            other,
        }
    }

    /// The warehouse is away, so the order waits to be reserved.
    async fn waiting_order(&self, customer: &Client) -> String {
        self.lockers.place(customer, &self.lockers.order(1)).await
    }

    async fn parcel_out(&self) -> String {
        let customer = self.store.guest.new_customer(5_000).await.unwrap();
        let order = self
            .couriers
            .place(&customer, &self.couriers.order(1))
            .await;
        wait_for_status(&customer, &order, &["shipped"]).await;
        tovar::client::wait_for("the parcel to be out", crate::harness::WITHIN, async || {
            let run = self
                .store
                .manager
                .get("/api/deliveries?limit=100")
                .await?
                .success()?;
            let mut parcels = run["items"].as_array().into_iter().flatten();
            Ok(parcels.any(|parcel| parcel["order_id"] == *order))
        })
        .await
        .unwrap();
        order
    }
}

async fn send(fresh: &Fresh, operation: &Operation, body: &Value, key: Option<&str>) -> Answer {
    let answer = fresh
        .caller
        .send(operation.method(), &fresh.path, Some(body), key);
    answer.await.unwrap()
}

fn is_replay(answer: &Answer) -> bool {
    answer.headers.contains_key("idempotency-replayed")
}

/// Two requests under one key have one answer, and another request cannot have it.
async fn one_key_is_one_request(world: &World, operation: &Operation) {
    let fresh = world.fresh(&operation.path).await;
    let name = operation.name();
    let missing = send(&fresh, operation, &fresh.body, None).await;
    let refusal = (missing.status, missing.code());
    assert_eq!(
        refusal,
        (StatusCode::BAD_REQUEST, Some("idempotency_key_missing")),
        "{name}"
    );
    for invalid in ["", "\"open", "two words", &"x".repeat(256)] {
        let invalid = send(&fresh, operation, &fresh.body, Some(invalid)).await;
        let refusal = (invalid.status, invalid.code());
        assert_eq!(
            refusal,
            (StatusCode::BAD_REQUEST, Some("idempotency_key_invalid")),
            "{name}"
        );
    }
    let key = Uuid::new_v4().to_string();
    // A refusal leaves the key free.
    if operation.takes_body {
        let refused = send(&fresh, operation, &json!({ "nonsense": 1 }), Some(&key)).await;
        assert_eq!(refused.code(), Some("invalid_body"), "{name}");
    }
    let first = send(&fresh, operation, &fresh.body, Some(&key)).await;
    assert!(
        first.status.is_success() && !is_replay(&first),
        "{name}: {first:?}"
    );
    for again in [key.clone(), format!("\"{key}\"")] {
        let again = send(&fresh, operation, &fresh.body, Some(&again)).await;
        assert!(is_replay(&again), "{name}: {again:?}");
        assert_eq!(
            (again.status, &again.body),
            (first.status, &first.body),
            "{name}"
        );
        assert_eq!(
            again.headers.get("location"),
            first.headers.get("location"),
            "{name}"
        );
    }
    if let Some(other) = &fresh.other {
        let reused = send(&fresh, operation, other, Some(&key)).await;
        let refusal = (reused.status, reused.code());
        assert_eq!(
            refusal,
            (
                StatusCode::UNPROCESSABLE_ENTITY,
                Some("idempotency_key_reused")
            ),
            "{name}"
        );
    }
}

/// Many at once under one key: one takes effect, and each that is not told to come again gets its
/// answer.
async fn many_at_once_are_one(world: &World, operation: &Operation) {
    let fresh = world.fresh(&operation.path).await;
    let name = operation.name();
    let key = Uuid::new_v4().to_string();
    let answers = join_all((0..20).map(|_| send(&fresh, operation, &fresh.body, Some(&key)))).await;
    let (done, busy): (Vec<_>, Vec<_>) = answers
        .into_iter()
        .partition(|answer| answer.status.is_success());
    assert_eq!(
        done.iter().filter(|answer| !is_replay(answer)).count(),
        1,
        "{name}"
    );
    assert!(
        done.iter().all(|answer| answer.body == done[0].body),
        "{name}"
    );
    for busy in busy {
        let refusal = (busy.status, busy.code());
        assert_eq!(
            refusal,
            (StatusCode::CONFLICT, Some("idempotency_key_in_progress")),
            "{name}"
        );
        assert!(busy.headers.contains_key("retry-after"), "{name}");
    }
}

/// A key belongs to its caller.
async fn another_callers_key_is_another_key(world: &World, operation: &Operation) {
    let (one, two) = (
        world.fresh(&operation.path).await,
        world.fresh(&operation.path).await,
    );
    let key = Uuid::new_v4().to_string();
    for fresh in [one, two] {
        let answer = send(&fresh, operation, &fresh.body, Some(&key)).await;
        assert!(
            answer.status.is_success() && !is_replay(&answer),
            "{}: {answer:?}",
            operation.name()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_that_takes_a_key_follows_the_rules() {
    let mut store = Store::start_with(&[]).await;
    let lockers = Catalogue::open(&store, 1_000, 1_000).await;
    let couriers = Catalogue::open_with_couriers(&store, 1_000, 1_000).await;
    let operations: Vec<Operation> = operations(&store)
        .await
        .into_iter()
        .filter(|operation| operation.takes_key)
        .collect();
    assert_eq!(operations.len(), 10, "{operations:?}");
    let (mut world, mut away) = (
        World {
            store,
            lockers,
            couriers,
        },
        false,
    );
    // Orders that are to be stopped must not get on meanwhile.
    let (stops, others): (Vec<_>, Vec<_>) = operations
        .iter()
        .partition(|operation| operation.path.starts_with("/api/orders/{id}/"));
    for operation in others.into_iter().chain(stops) {
        if operation.path.starts_with("/api/orders/{id}/") && !away {
            world.store.stop_service("warehouse").await;
            away = true;
        }
        one_key_is_one_request(&world, operation).await;
        many_at_once_are_one(&world, operation).await;
        // Managers share their keys, and so do callers without an account.
        let has_own_callers = operation.path.starts_with("/api/account")
            || operation.path == "/api/orders"
            || operation.path == "/api/users"
            || operation.path.ends_with("cancellation");
        if has_own_callers {
            another_callers_key_is_another_key(&world, operation).await;
        }
    }
    store = world.store;
    store.start_service("warehouse").await;
    store.end().await;
}
