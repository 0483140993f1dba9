use reqwest::Method;
use serde_json::Value;

use super::Store;

/// An operation as its service's OpenAPI page tells of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of the page")]
pub struct Operation {
    /// In lower case.
    pub method: String,
    /// With names in braces.
    pub path: String,
    pub takes_key: bool,
    pub takes_token: bool,
    pub takes_body: bool,
    /// Whether it shows a collection page by page.
    pub is_paged: bool,
}

impl Operation {
    pub fn method(&self) -> Method {
        self.method.to_uppercase().parse().unwrap()
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
        let page = store.guest.get(&page).await.unwrap().success().unwrap();
        for (path, item) in page["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                all.push(describe(method, path, operation));
            }
        }
    }
    assert!(all.len() > 25, "{all:?}");
    all.sort();
    all
}

fn describe(method: &str, path: &str, operation: &Value) -> Operation {
    let takes = |name: &str| {
        let mut parameters = operation["parameters"].as_array().into_iter().flatten();
        parameters.any(|parameter| parameter["name"] == name)
    };
    Operation {
        method: method.to_owned(),
        path: path.to_owned(),
        takes_key: takes("Idempotency-Key"),
        takes_token: operation["security"].is_array(),
        takes_body: operation["requestBody"].is_object(),
        is_paged: takes("cursor"),
    }
}
