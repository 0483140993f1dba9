use reqwest::Method;
use serde_json::{Value, json};
use tovar::client::{Answer, Client};

use super::{MustSucceed, Store};

/// An operation as its service's OpenAPI page describes it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says one thing of the page"
)]
pub struct Operation {
    /// In lower case.
    pub method: String,
    /// With names in braces.
    pub path: String,
    pub takes_key: bool,
    pub takes_token: bool,
    /// Whether it needs a log-in of the last minutes.
    pub needs_fresh_login: bool,
    pub takes_body: bool,
    /// Whether it shows a collection page by page.
    pub is_paged: bool,
    /// Where a caller may put a value.
    pub places: Vec<Place>,
}

/// A place in a request outside its path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    Query(String),
    Header(String),
    /// The names from the outermost object inwards; `[]` is an item of a list.
    Body(Vec<String>),
}

impl Operation {
    pub fn method(&self) -> Method {
        self.method.to_uppercase().parse().unwrap()
    }

    /// Sends a request that is valid, but for an address where there is nothing.
    pub async fn send_somewhere(&self, caller: &Client) -> Answer {
        let nowhere = uuid::Uuid::nil().to_string();
        let path = ["{id}", "{order_id}", "{user_id}"]
            .iter()
            .fold(self.path.clone(), |path, name| path.replace(name, &nowhere));
        let path = path.replace("{sku}", "tea").replace("{zone}", "lockers");
        let body = self.takes_body.then(|| body_of(self));
        let key = uuid::Uuid::new_v4().to_string();
        let key = self.takes_key.then_some(key.as_str());
        let answer = caller.send(self.method(), &path, body.as_ref(), key);
        answer.await.unwrap()
    }

    pub fn name(&self) -> String {
        format!("{} {}", self.method.to_uppercase(), self.path)
    }
}

/// All operations of all services.
pub async fn operations(store: &Store) -> Vec<Operation> {
    let mut all = Vec::new();
    for service in store.databases.keys() {
        let page = format!("/api/docs/{service}/openapi.json");
        let page = store.guest.ok_get(&page).await;
        for (path, item) in page["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                all.push(describe(method, path, operation, &page));
            }
        }
    }
    assert!(all.len() > 25, "{all:?}");
    all.sort();
    all
}

fn describe(method: &str, path: &str, operation: &Value, page: &Value) -> Operation {
    let takes = |name: &str| {
        let mut parameters = operation["parameters"].as_array().into_iter().flatten();
        parameters.any(|parameter| parameter["name"] == name)
    };
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let mut places: Vec<Place> = parameters
        .filter_map(|parameter| {
            let name = parameter["name"].as_str().unwrap().to_owned();
            match parameter["in"].as_str().unwrap() {
                "query" => Some(Place::Query(name)),
                "header" => Some(Place::Header(name)),
                _ => None,
            }
        })
        .collect();
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    fields(body, page, &mut Vec::new(), &mut places);
    Operation {
        places,
        method: method.to_owned(),
        path: path.to_owned(),
        takes_key: takes("Idempotency-Key"),
        takes_token: operation["security"].is_array(),
        needs_fresh_login: operation["security"][0]["token"][0] == "fresh log-in",
        takes_body: operation["requestBody"].is_object(),
        is_paged: takes("cursor"),
    }
}

/// The fields of a schema, with those of what is inside.
fn fields(schema: &Value, page: &Value, names: &mut Vec<String>, places: &mut Vec<Place>) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => page.pointer(&reference[1..]).unwrap(),
        None => schema,
    };
    if !names.is_empty() {
        places.push(Place::Body(names.clone()));
    }
    let inside = schema["properties"].as_object().into_iter().flatten();
    let inside = inside.map(|(name, schema)| (name.clone(), schema));
    let items = schema.get("items").map(|items| ("[]".to_owned(), items));
    for (name, schema) in inside.chain(items) {
        names.push(name);
        fields(schema, page, names, places);
        names.pop();
    }
}

/// A body that fits the operation, with the nil UUID in the place of a slot.
pub fn body_of(operation: &Operation) -> Value {
    match operation.path.as_str() {
        "/api/users" => {
            let email = format!("{}@example.org", uuid::Uuid::new_v4());
            json!({ "email": email, "password": "a good password", "name": "Ada" })
        }
        "/api/sessions" => json!({ "email": "ada@example.org", "password": "a good password" }),
        "/api/sessions/refresh" => json!({ "refresh_token": "A".repeat(107) }),
        "/api/users/me" => json!({ "name": "Ada" }),
        path if path.ends_with("/role") => json!({ "role": "customer" }),
        path if path.ends_with("/courier") => json!({ "courier_id": uuid::Uuid::nil() }),
        path if path.ends_with("/status") => json!({ "status": "active" }),
        path if path.ends_with("/outcome") => json!({ "outcome": "delivered" }),
        path if path.ends_with("/receipts") => json!({ "quantity": 1 }),
        path if path.ends_with("/slots") => {
            json!({
                "starts_at": "2099-01-01T10:00:00Z",
                "ends_at": "2099-01-01T12:00:00Z",
                "capacity": 1,
            })
        }
        "/api/goods/{sku}" => json!({ "name": "Mine", "price": 1 }),
        "/api/zones/{zone}" => json!({ "handover": "locker" }),
        "/api/orders" => {
            json!({
                "lines": [{ "sku": "tea", "quantity": 1 }],
                "zone": "lockers",
                "slot_id": uuid::Uuid::nil(),
            })
        }
        path if path.ends_with("-ups") || path.ends_with("withdrawals") => json!({ "amount": 1 }),
        path => panic!("{path}: say here which body fits it"),
    }
}
