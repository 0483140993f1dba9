//! What no client should send, at every place of every OpenAPI page: none of it is the store's
//! failure.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{StreamExt, stream};
use reqwest::{StatusCode, header::HeaderValue};
use serde_json::{Value, json};
use tovar::client::Client;
use uuid::Uuid;

use crate::harness::{
    Catalogue, MustSucceed, Operation, Place, Store, WITHIN, body_of, each, operations,
};

/// As JSON text, because some of them exist in no Rust type.
const POISON: [&str; 40] = [
    "null",
    "true",
    "0",
    "-1",
    "1",
    "0.5",
    "-0.0",
    "1e300",
    "2147483648",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551616",
    r#""""#,
    r#""\u0000""#,
    r#""a\u0000b""#,
    r#""\ud800""#,
    r#""\uffff\ufffe\udbff\udfff""#,
    r#""%00""#,
    r#""'; --""#,
    r#""NaN""#,
    r#""infinity""#,
    r#""-infinity""#,
    r#""now""#,
    r#""-9999-01-01T00:00:00Z""#,
    r#""0000-01-01T00:00:00Z""#,
    r#""0001-01-01T00:00:00+23:59""#,
    r#""1969-12-31T23:59:59.9999999Z""#,
    r#""2016-12-31T23:59:60Z""#,
    r#""2099-01-01T10:00:00.0000001Z""#,
    r#""2099-01-01T10:00:00.0000002Z""#,
    r#""9999-12-31T23:59:59.9999999-23:59""#,
    r#""+10000-01-01T00:00:00Z""#,
    r#""+262142-12-31T23:59:59Z""#,
    r#""294277-01-01T00:00:00Z""#,
    r#""00000000-0000-0000-0000-000000000000""#,
    r#""ffffffff-ffff-ffff-ffff-ffffffffffff""#,
    "[]",
    "{}",
    "[[[]]]",
];

const HEADERS: [&[u8]; 12] = [
    b"",
    b"*",
    b"\"3\"",
    b"\"",
    b"W/\"\"",
    b"0",
    b"-1",
    b"4294967296",
    b"99999999999999999999",
    b"\xff\xfe",
    b"Bearer x.y.z",
    b"00-00000000000000000000000000000000-0000000000000000-00",
];

/// Parameters that any request may have.
const USUAL_HEADERS: [&str; 8] = [
    "authorization",
    "if-match",
    "if-none-match",
    "idempotency-key",
    "content-type",
    "traceparent",
    "x-forwarded-for",
    "last-event-id",
];

/// One request.
struct Try {
    path: String,
    query: String,
    body: Option<String>,
    header: Option<(String, HeaderValue)>,
}

impl Try {
    fn of(operation: &Operation, world: &World) -> Self {
        Self {
            path: world.path(operation),
            query: String::new(),
            body: operation.takes_body.then(|| body_of(operation).to_string()),
            header: None,
        }
    }
}

struct World {
    manager: Client,
    other_user: String,
    order: String,
    slot: String,
}

impl World {
    fn path(&self, operation: &Operation) -> String {
        let id = if operation.path.starts_with("/api/users") {
            &self.other_user
        } else {
            &self.order
        };
        let filled = operation
            .path
            .replace("{id}", id)
            .replace("{order_id}", &self.order);
        let filled = filled.replace("{user_id}", &self.other_user);
        filled.replace("{sku}", "tea").replace("{zone}", "lockers")
    }
}

/// JSON text as a part of an address.
fn encoded(json: &str) -> String {
    let text = serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned());
    text.bytes().fold(String::new(), |encoded, byte| {
        format!("{encoded}%{byte:02x}")
    })
}

fn cursors() -> Vec<String> {
    let (id, time) = (format!("\"{}\"", Uuid::nil()), "\"2099-01-01T10:00:00Z\"");
    let of_one = POISON.iter().flat_map(|poison| {
        [
            (*poison).to_owned(),
            format!("[{poison},{id}]"),
            format!("[{time},{poison}]"),
            format!("[{poison},1,{id}]"),
        ]
    });
    of_one.map(|key| URL_SAFE_NO_PAD.encode(key)).collect()
}

/// The body with `poison` at `place`, whose names lead from the outermost object inwards.
fn poisoned(body: &Value, places: &[(&Vec<String>, &str)]) -> String {
    let mut body = body.clone();
    for (number, (place, _)) in places.iter().enumerate() {
        let mut at = &mut body;
        for name in *place {
            at = if name == "[]" {
                &mut at[0]
            } else {
                &mut at[name.as_str()]
            };
        }
        *at = json!(format!("poison {number}"));
    }
    let mut text = body.to_string();
    for (number, (_, poison)) in places.iter().enumerate() {
        text = text.replace(&format!("\"poison {number}\""), poison);
    }
    text
}

fn tries(operation: &Operation, world: &World) -> Vec<Try> {
    let mut all = Vec::new();
    let plain = || Try::of(operation, world);
    let names = operation
        .path
        .split('/')
        .filter(|part| part.starts_with('{'));
    for name in names {
        for poison in POISON {
            let path = operation.path.replacen(name, &encoded(poison), 1);
            let rest = Operation {
                path,
                ..operation.clone()
            };
            let path = world.path(&rest);
            all.push(Try { path, ..plain() });
        }
    }
    let queries = operation.places.iter().filter_map(|place| match place {
        Place::Query(name) => Some(name),
        _ => None,
    });
    for name in queries.map(String::as_str).chain(["unknown"]) {
        let plain_ones = POISON.iter().map(|poison| encoded(poison));
        let values = plain_ones.chain(if name == "cursor" {
            cursors()
        } else {
            Vec::new()
        });
        for value in values {
            let query = format!("?{name}={value}");
            all.push(Try { query, ..plain() });
        }
    }
    for (number, header) in USUAL_HEADERS.into_iter().enumerate() {
        let is_named = operation.places.iter().any(|place| match place {
            Place::Header(name) => name.eq_ignore_ascii_case(header),
            _ => false,
        });
        // All combinations would be many, and one function reads them all.
        for value in HEADERS
            .into_iter()
            .skip(if is_named { 0 } else { number + 2 })
        {
            let value = HeaderValue::from_bytes(value).unwrap();
            let header = Some((header.to_owned(), value));
            all.push(Try { header, ..plain() });
        }
    }
    let fields: Vec<&Vec<String>> = operation
        .places
        .iter()
        .filter_map(|place| match place {
            Place::Body(names) => Some(names),
            _ => None,
        })
        .collect();
    if !operation.takes_body {
        return all;
    }
    let good = body_of(operation);
    let with = |places: &[(&Vec<String>, &str)]| Try {
        body: Some(poisoned(&good, places)),
        ..plain()
    };
    for field in &fields {
        for poison in POISON {
            all.push(with(&[(field, poison)]));
        }
    }
    // Times come in pairs, of which one must be before the other.
    let times: Vec<&&Vec<String>> = fields
        .iter()
        .filter(|names| names.last().is_some_and(|name| name.ends_with("_at")))
        .collect();
    if let [one, other] = times[..] {
        for first in POISON.iter().filter(|poison| poison.contains('T')) {
            for second in POISON.iter().filter(|poison| poison.contains('T')) {
                all.push(with(&[(one, first), (other, second)]));
            }
        }
    }
    all
}

async fn send(operation: &Operation, world: &World, caller: &Client, one: Try) {
    let path = format!("{}{}", one.path, one.query);
    let mut request = caller.request(operation.method(), &path);
    if operation.takes_key {
        request = request.header("idempotency-key", Uuid::new_v4().to_string());
    }
    if let Some(body) = &one.body {
        let body = body.replace(&Uuid::nil().to_string(), &world.slot);
        request = request
            .header("content-type", "application/json")
            .body(body);
    }
    let mut request = request.build().unwrap();
    if let Some((name, value)) = &one.header {
        let name: reqwest::header::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, value.clone());
    }
    let answer = caller.carry_out(request).await.unwrap();
    let sent = (&path, &one.body, &one.header);
    assert!(
        answer.status < StatusCode::INTERNAL_SERVER_ERROR,
        "{} {sent:?}: {} {}",
        operation.name(),
        answer.status,
        answer.body
    );
    assert_times(&answer.body, &format!("{} {sent:?}", operation.name()));
}

/// The store has microseconds, and shows no time more precisely than it keeps it.
fn assert_times(body: &Value, of: &str) {
    match body {
        Value::String(text) => {
            let is_time = text.len() > 20 && text.as_bytes()[10] == b'T' && text.ends_with('Z');
            let digits = text
                .split_once('.')
                .map_or(0, |(_, fraction)| fraction.len().saturating_sub(1));
            assert!(!is_time || digits <= 6, "{of}: {text}");
        }
        Value::Array(items) => items.iter().for_each(|item| assert_times(item, of)),
        // A name may have any characters.
        Value::Object(fields) => fields
            .iter()
            .filter(|(field, _)| *field != "name")
            .for_each(|(_, value)| assert_times(value, of)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_read_makes_a_failure_of_the_store() {
    no_request_makes_a_failure(|method| method == "get").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_change_makes_a_failure_of_the_store() {
    no_request_makes_a_failure(|method| method != "get").await;
}

async fn no_request_makes_a_failure(of: fn(&str) -> bool) {
    let store = Store::start_with(&each(&["--rate-limit=0"])).await;
    let catalogue = Catalogue::open(&store, 1_000, 1_000).await;
    let manager = store.manager.clone();
    tovar::client::wait_for("the manager's account", WITHIN, async || {
        Ok(manager.get("/api/account").await?.status == StatusCode::OK)
    })
    .await
    .unwrap();
    let top_up = json!({ "amount": 1_000_000 });
    manager.ok_post("/api/account/top-ups", &top_up).await;
    let order = catalogue.buy(&manager, &catalogue.order(1)).await;
    let other_user = store.guest.new_customer(0).await.unwrap();
    let other_user = other_user.ok_get("/api/users/me").await;
    let world = World {
        manager,
        other_user: other_user["id"].as_str().unwrap().to_owned(),
        order: order["id"].as_str().unwrap().to_owned(),
        slot: catalogue.slot.clone(),
    };
    let mut sent = 0;
    let operations = operations(&store).await.into_iter();
    for operation in operations.filter(|operation| of(&operation.method)) {
        let all = tries(&operation, &world);
        sent += all.len();
        let caller = if operation.method == "delete" {
            // A user of whom no later request is made.
            store.guest.new_customer(0).await.unwrap()
        } else {
            world.manager.clone()
        };
        stream::iter(all)
            .for_each_concurrent(8, |one| send(&operation, &world, &caller, one))
            .await;
    }
    assert!(sent > 1_500, "{sent}");
    store.stop().await;
}

/// The answer to a POST is the same as a later read and as the answer to a retry.
#[tokio::test(flavor = "multi_thread")]
async fn a_time_is_answered_as_it_is_read_again() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 10).await;
    let slots = format!("/api/zones/{}/slots", catalogue.zone);
    let (starts_at, ends_at) = (
        "2098-01-01T10:00:00.123456789Z",
        "2098-01-01T12:00:00.9999999+01:00",
    );
    let slot = json!({ "starts_at": starts_at, "ends_at": ends_at, "capacity": 1 });
    let customer = store.guest.new_customer(10_000).await.unwrap();
    let wishes: [(&Client, &str, &Value); 2] = [
        (&store.manager, &slots, &slot),
        (&customer, "/api/orders", &catalogue.order(1)),
    ];
    let mut answers = Vec::new();
    for (caller, path, body) in wishes {
        let key = Uuid::new_v4().to_string();
        let post = async || {
            let answer = caller.send(reqwest::Method::POST, path, Some(body), Some(&key));
            answer.await.unwrap().success().unwrap()
        };
        let first = post().await;
        assert_eq!(first, post().await, "a retry of {path}");
        assert_times(&first, path);
        answers.push(first);
    }
    let found = store.guest.ok_get(&slots).await;
    assert!(
        found["items"].as_array().unwrap().contains(&answers[0]),
        "{found}: {}",
        answers[0]
    );
    assert_eq!(answers[0]["starts_at"], "2098-01-01T10:00:00.123456Z");
    let id = answers[1]["id"].as_str().unwrap();
    let later = customer.finished(id, WITHIN).await.unwrap();
    assert_eq!(later["timeline"][0], answers[1]["timeline"][0]);
    store.stop().await;
}
