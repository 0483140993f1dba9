//! Every act and every refusal leaves a trace with its user, on every operation of every OpenAPI
//! page.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tovar::client::{Answer, Client, wait_for};
use uuid::Uuid;

use crate::{
    harness::{
        Catalogue, MustSucceed, Operation, SERVICES, Store, WITHIN, body_of, operations,
        wait_for_status,
    },
    who_may::{Who, who_may},
};

/// Entries of all services about an operation.
async fn entries(store: &Store, what: &str) -> Vec<Value> {
    let sql = "SELECT to_jsonb(log)::text FROM security_log AS log WHERE what = $1 ORDER BY at";
    let mut all = Vec::new();
    for service in SERVICES {
        let rows = store.sql(service).await.query(sql, &[&what]).await.unwrap();
        let found = rows
            .iter()
            .map(|row| serde_json::from_str(row.get(0)).unwrap());
        all.extend::<Vec<Value>>(found.collect());
    }
    all
}

/// The sum of this counter over all services.
async fn counted(store: &Store, kind: &str, outcome: &str) -> u64 {
    let (kind, outcome) = (format!("kind=\"{kind}\""), format!("outcome=\"{outcome}\""));
    let mut sum = 0;
    for service in SERVICES {
        // A replica that is stopped counts nothing.
        let Ok(text) = reqwest::get(format!("{}/metrics", store.ops[service])).await else {
            continue;
        };
        let text = text.text().await.unwrap();
        let mut lines = text.lines();
        let line = lines.find(|line| {
            line.starts_with("tovar_security_events_total")
                && line.contains(&kind)
                && line.contains(&outcome)
        });
        let line = line.expect("it is shown before it happens");
        sum += line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap();
    }
    sum
}

async fn id_of(person: &Client) -> String {
    let me = person.ok_get("/api/users/me").await;
    me["id"].as_str().unwrap().to_owned()
}

/// Asserts that an act leaves one entry, and one count.
async fn leaves_one(
    store: &Store,
    what: &str,
    kind: &str,
    act: impl AsyncFnOnce() -> Answer,
) -> Value {
    let before = (
        entries(store, what).await.len(),
        counted(store, kind, "done").await,
    );
    let answer = act().await;
    assert!(answer.status.is_success(), "{what}: {answer:?}");
    let after = entries(store, what).await;
    assert_eq!(after.len(), before.0 + 1, "{what}: {after:#?}");
    assert_eq!(counted(store, kind, "done").await, before.1 + 1, "{what}");
    let entry = after.last().unwrap().clone();
    assert_eq!(
        (&entry["kind"], &entry["outcome"]),
        (&json!(kind), &json!("done")),
        "{what}"
    );
    assert_eq!(
        entry["trace_id"].as_str().map(str::len),
        Some(32),
        "{what}: {entry}"
    );
    assert!(entry["network"].is_string(), "{what}: {entry}");
    let text = entry.to_string();
    for secret in ["@", "her first", "her second"] {
        assert!(!text.contains(secret), "{what}: {text}");
    }
    entry
}

struct World {
    store: Store,
    catalogue: Catalogue,
    customer: Client,
    customer_id: String,
    courier: Client,
    courier_id: String,
}

impl World {
    async fn parcel(&self) -> String {
        let order = self
            .catalogue
            .place(&self.customer, &self.catalogue.order(1))
            .await;
        let path = "/api/deliveries?limit=100";
        wait_for("the parcel to be out", WITHIN, async || {
            let run = self.store.manager.get(path).await?.success()?;
            let mut parcels = run["items"].as_array().into_iter().flatten();
            Ok(parcels.any(|parcel| parcel["order_id"] == *order))
        })
        .await
        .unwrap();
        order
    }

    /// An address at which an operation succeeds, and the thing that it is about.
    async fn place_of(&self, operation: &Operation) -> (String, Option<String>) {
        let path = &operation.path;
        let named = match path.as_str() {
            "/api/deliveries" => return (path.clone(), None),
            "/api/users/{id}"
            | "/api/users/{id}/role"
            | "/api/users/{id}/status"
            | "/api/accounts/{user_id}" => self.customer_id.clone(),
            path if path.starts_with("/api/goods/{sku}") => self.catalogue.sku.to_owned(),
            path if path.starts_with("/api/zones/{zone}") => self.catalogue.zone.to_owned(),
            "/api/orders/{id}/stop" => {
                self.catalogue
                    .place(&self.customer, &self.catalogue.order(1))
                    .await
            }
            "/api/orders/{id}/verdict" => {
                let poor = self.store.guest.new_customer(1).await.unwrap();
                let order = self.catalogue.place(&poor, &self.catalogue.order(1)).await;
                wait_for_status(&poor, &order, &["closing", "rejected"]).await;
                order
            }
            path if path.starts_with("/api/deliveries/{order_id}/") => {
                let parcel = self.parcel().await;
                if path.ends_with("/outcome") {
                    self.courier
                        .take_parcel(&parcel)
                        .await
                        .unwrap()
                        .success()
                        .unwrap();
                }
                parcel
            }
            path => panic!("{path}: say here where it succeeds"),
        };
        let (start, rest) = path.split_once('{').unwrap();
        let (_, end) = rest.split_once('}').unwrap();
        (format!("{start}{named}{end}"), Some(named))
    }

    async fn acts(&self, operation: &Operation, (caller, role): (&Client, &str), id: &str) {
        let (path, whom) = self.place_of(operation).await;
        let body = match operation.path.as_str() {
            "/api/zones/{zone}" => json!({ "handover": "courier" }),
            path if path.ends_with("/courier") => json!({ "courier_id": self.courier_id }),
            _ if operation.takes_body => body_of(operation),
            _ => Value::Null,
        };
        let body = operation.takes_body.then_some(&body);
        let key = Uuid::new_v4().to_string();
        let key = operation.takes_key.then_some(key.as_str());
        let what = operation.name();
        let kind = match what.as_str() {
            "PUT /api/users/{id}/role" => "role",
            "PUT /api/users/{id}/status" => "status",
            _ => role,
        };
        let send = async || {
            caller
                .send(operation.method(), &path, body, key)
                .await
                .unwrap()
        };
        let entry = leaves_one(&self.store, &what, kind, send).await;
        assert_eq!(
            (&entry["who"], &entry["whom"]),
            (&json!(id), &json!(whom)),
            "{what}"
        );
        if operation.takes_key {
            let count = entries(&self.store, &what).await.len();
            send().await.success().unwrap();
            assert_eq!(
                entries(&self.store, &what).await.len(),
                count,
                "{what}: a replay is no act"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_act_of_a_manager_or_courier_leaves_a_row_a_line_and_a_count() {
    let store = Store::start().await;
    let catalogue = Catalogue::open_with_couriers(&store, 100, 100).await;
    let customer = store.guest.new_customer(50_000).await.unwrap();
    let courier = store.new_user("courier").await;
    let mut world = World {
        customer_id: id_of(&customer).await,
        courier_id: id_of(&courier).await,
        store,
        catalogue,
        customer,
        courier,
    };
    let manager_id = id_of(&world.store.manager).await;
    let operations = operations(&world.store).await;
    // An order that is to be stopped must not get on meanwhile.
    let (stops, others): (Vec<_>, Vec<_>) = operations
        .iter()
        .partition(|operation| operation.path.ends_with("/stop"));
    let mut walked = 0;
    for operation in others {
        let who = who_may(operation);
        if [Who::Manager, Who::CourierOrManager].contains(&who) {
            world
                .acts(operation, (&world.store.manager, "manager"), &manager_id)
                .await;
            walked += 1;
        }
        if who == Who::CourierOrManager {
            world
                .acts(operation, (&world.courier, "courier"), &world.courier_id)
                .await;
        }
    }
    world.store.stop_service("warehouse").await;
    for operation in stops {
        world
            .acts(operation, (&world.store.manager, "manager"), &manager_id)
            .await;
        walked += 1;
    }
    world.store.start_service("warehouse").await;
    assert!(walked >= 14, "{walked}");

    let all = "/api/orders?needs_attention=true";
    let manager = &world.store.manager;
    let of_all = leaves_one(&world.store, "GET /api/orders", "manager", async || {
        manager.get(all).await.unwrap()
    });
    assert_eq!(of_all.await["who"], json!(manager_id));
    let own = entries(&world.store, "GET /api/orders").await.len();
    world.customer.ok_get("/api/orders").await;
    assert_eq!(
        entries(&world.store, "GET /api/orders").await.len(),
        own,
        "what is one's own"
    );

    // An act that is rolled back has not happened.
    let what = "PUT /api/goods/{sku}";
    let before = (
        entries(&world.store, what).await.len(),
        counted(&world.store, "manager", "done").await,
    );
    let body = json!({ "name": "Tea", "price": 7 });
    let failed = manager
        .send_with(
            Method::PUT,
            "/api/goods/tea",
            Some(&body),
            &[("if-match", "\"x\"")],
        )
        .await
        .unwrap();
    assert_eq!(failed.status, StatusCode::PRECONDITION_FAILED);
    let after = (
        entries(&world.store, what).await.len(),
        counted(&world.store, "manager", "done").await,
    );
    assert_eq!(after, before);
    world.store.end().await;
}

/// Requests that change users and sessions. The last of them deletes the user.
fn changes_of_people(operations: Vec<Operation>) -> Vec<Operation> {
    let changes = operations.into_iter().filter(|operation| {
        let is_of_users = ["/api/users", "/api/sessions"]
            .iter()
            .any(|start| operation.path.starts_with(start));
        is_of_users && operation.method != "get"
    });
    let mut changes: Vec<Operation> = changes.collect();
    changes.sort_by_key(|operation| match operation.name().as_str() {
        "POST /api/users" => 0,
        "POST /api/sessions" => 1,
        name if name.contains("/api/sessions") => 2,
        "DELETE /api/users/me" => 4,
        _ => 3,
    });
    changes
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a branch for each operation")]
async fn whatever_changes_a_person_or_a_session_leaves_a_row_a_line_and_a_count() {
    let store = Store::start().await;
    let person =
        json!({ "email": "ada@example.org", "password": "her first password", "name": "Ada" });
    let credentials = json!({ "email": "ada@example.org", "password": "her first password" });
    let mut ada = store.guest.clone();
    let mut id = Value::Null;
    let changes = changes_of_people(operations(&store).await);
    for operation in &changes {
        let name = operation.name();
        let post = async |path: &str, body: &Value| store.guest.post(path, body).await.unwrap();
        let log_in = async || {
            let logged_in = store.guest.log_in("ada@example.org", "her first password");
            logged_in.await.unwrap()
        };
        let entry = match name.as_str() {
            "POST /api/users" => {
                let mut answer = Value::Null;
                let entry = leaves_one(&store, &name, "registration", async || {
                    let registered = post("/api/users", &person).await;
                    answer.clone_from(&registered.body);
                    registered
                });
                let entry = entry.await;
                id = answer["id"].clone();
                assert_eq!((&entry["who"], &entry["whom"]), (&Value::Null, &id));
                continue;
            }
            "POST /api/sessions" => {
                let entry = leaves_one(&store, &name, "log_in", async || {
                    post("/api/sessions", &credentials).await
                });
                let entry = entry.await;
                ada = log_in().await;
                entry
            }
            "POST /api/sessions/refresh" => {
                let refresh_token = ada.tokens().unwrap().refresh.unwrap();
                let goes_on =
                    post(&operation.path, &json!({ "refresh_token": refresh_token })).await;
                goes_on.success().unwrap();
                assert_eq!(
                    entries(&store, &name).await.len(),
                    0,
                    "a session that goes on is no act"
                );
                ada = log_in().await;
                continue;
            }
            "DELETE /api/sessions" | "DELETE /api/sessions/current" => {
                let entry = leaves_one(&store, &name, "session", async || {
                    ada.send(Method::DELETE, &operation.path, None, None)
                        .await
                        .unwrap()
                });
                let entry = entry.await;
                ada = log_in().await;
                entry
            }
            "PATCH /api/users/me" => {
                let patch = async |body: Value| {
                    ada.send(Method::PATCH, "/api/users/me", Some(&body), None)
                        .await
                        .unwrap()
                };
                patch(json!({ "name": "Ada Lovelace" }))
                    .await
                    .success()
                    .unwrap();
                assert_eq!(
                    entries(&store, &name).await.len(),
                    0,
                    "her name is her own affair"
                );
                let change = json!({
                    "password": "her second password",
                    "current_password": "her first password",
                });
                leaves_one(&store, &name, "password", async || patch(change).await).await
            }
            "PUT /api/users/{id}/role" | "PUT /api/users/{id}/status" => {
                let (kind, value) = if name.ends_with("/role") {
                    ("role", "courier")
                } else {
                    ("status", "active")
                };
                let path = format!("/api/users/{}/{kind}", id.as_str().unwrap());
                let manager = &store.manager;
                let entry = leaves_one(&store, &name, kind, async || {
                    manager.put(&path, &json!({ kind: value })).await.unwrap()
                });
                assert_eq!(entry.await["whom"], id);
                continue;
            }
            "DELETE /api/users/me" => {
                let leave = async || {
                    ada.send(Method::DELETE, "/api/users/me", None, None)
                        .await
                        .unwrap()
                };
                leaves_one(&store, &name, "deletion", leave).await
            }
            name => panic!("{name}: say here how it succeeds, and what it leaves"),
        };
        assert_eq!(entry["who"], id, "{name}");
    }
    assert!(changes.len() >= 5, "{changes:?}");
    store.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_counted_and_none_of_them_writes() {
    let store =
        Store::start_with(&[("notifications", &["--rate-limit=1", "--rate-burst=1"])]).await;
    let _shop = Catalogue::open(&store, 10, 5).await;
    let eve = store.guest.new_customer(0).await.unwrap();
    let refused = async |caller: &Client, operation: &Operation, outcome: &str| {
        let id = Uuid::nil().to_string();
        let mut path = operation.path.clone();
        for name in ["{id}", "{user_id}", "{order_id}"] {
            path = path.replace(name, &id);
        }
        let path = path.replace("{sku}", "tea").replace("{zone}", "lockers");
        let body = operation.takes_body.then(|| body_of(operation));
        let before = counted(&store, "access", outcome).await;
        let key = operation.takes_key.then_some("a key");
        let answer = caller
            .send(operation.method(), &path, body.as_ref(), key)
            .await
            .unwrap();
        let name = operation.name();
        let wanted = match outcome {
            "denied" => StatusCode::FORBIDDEN,
            _ => StatusCode::UNAUTHORIZED,
        };
        assert_eq!(answer.status, wanted, "{name}");
        assert_eq!(
            counted(&store, "access", outcome).await,
            before + 1,
            "{name}"
        );
        assert_eq!(
            entries(&store, &name)
                .await
                .iter()
                .filter(|entry| entry["outcome"] != "done")
                .count(),
            0
        );
    };
    for operation in operations(&store).await {
        let who = who_may(&operation);
        if operation.path == "/api/notifications" {
            continue;
        }
        if who != Who::Anyone {
            refused(&store.guest, &operation, "unauthenticated").await;
        }
        if [Who::Manager, Who::CourierOrManager].contains(&who) {
            refused(&eve, &operation, "denied").await;
        }
    }
    let before = counted(&store, "access", "limited").await;
    while eve.get("/api/notifications").await.unwrap().status != StatusCode::TOO_MANY_REQUESTS {}
    assert_eq!(counted(&store, "access", "limited").await, before + 1);
    store.end().await;
}
