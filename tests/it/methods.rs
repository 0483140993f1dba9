//! What every address of every OpenAPI page does with the methods that it has, and with those that
//! it does not have.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, StatusCode, header};
use tovar::client::{Answer, Client};

use crate::harness::{
    Catalogue, MustSucceed, Operation, SERVICES, Store, WITHIN, each, operations,
};

/// Addresses of a service that its page does not list.
const UNLISTED: [&str; 6] = [
    "/openapi.json",
    "/problems.json",
    "/docs/",
    "/docs/openapi.json",
    "/docs/docs.js",
    "/docs/swagger-ui.css",
];

async fn ask(client: &Client, method: &str, path: &str) -> Answer {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    client.send(method, path, None, None).await.unwrap()
}

fn allowed(answer: &Answer) -> BTreeSet<String> {
    let allow = answer.headers.get(header::ALLOW);
    let allow = allow.map_or("", |allow| allow.to_str().unwrap());
    let names = allow.split(',').map(|name| name.trim().to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

/// The status and headers of a GET, without those that differ each time.
fn head(answer: &Answer) -> (StatusCode, BTreeMap<String, String>) {
    let headers = answer.headers.iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let stable = headers.filter(|(name, _)| !["date", "traceparent"].contains(&name.as_str()));
    (answer.status, stable.collect())
}

/// HEAD is GET without the body; what an address has not is 405, and it says what it has.
async fn check(client: &Client, path: &str, has: &BTreeSet<String>) {
    let mut all: BTreeSet<String> = has.clone();
    all.insert("OPTIONS".to_owned());
    if has.contains("GET") {
        all.insert("HEAD".to_owned());
        let (got, headed) = (
            ask(client, "GET", path).await,
            ask(client, "HEAD", path).await,
        );
        assert_eq!(headed.body, "", "HEAD {path}");
        let (mut got, headed) = (head(&got), head(&headed));
        // A stream has no length, which its head need not say.
        got.1.remove("transfer-encoding");
        assert_eq!(headed, got, "{path}");
        assert_ne!(got.0, StatusCode::NOT_FOUND, "{path}");
    }
    let options = ask(client, "OPTIONS", path).await;
    assert_eq!(options.status, StatusCode::NO_CONTENT, "OPTIONS {path}");
    assert_eq!(allowed(&options), all, "OPTIONS {path}");
    for method in [
        "GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "TRACE", "BREW", "PROPFIND",
    ] {
        if all.contains(method) {
            continue;
        }
        let refused = ask(client, method, path).await;
        assert_eq!(
            refused.status,
            StatusCode::METHOD_NOT_ALLOWED,
            "{method} {path}"
        );
        assert_eq!(allowed(&refused), all, "{method} {path}");
        if method != "HEAD" {
            assert_eq!(
                refused.code(),
                Some("method_not_allowed"),
                "{method} {path}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_says_which_methods_it_has() {
    let store = Store::start_with(&each(&["--rate-limit=0"])).await;
    let catalogue = Catalogue::open(&store, 10, 10).await;
    let manager = &store.manager;
    tovar::client::wait_for("the manager's account", WITHIN, async || {
        Ok(manager.get("/api/account").await?.status == StatusCode::OK)
    })
    .await
    .unwrap();
    let top_up = serde_json::json!({ "amount": 10_000 });
    manager.ok_post("/api/account/top-ups", &top_up).await;
    let order = catalogue.buy(manager, &catalogue.order(1)).await;
    let (order, me) = (
        order["id"].as_str().unwrap(),
        manager.ok_get("/api/users/me").await,
    );
    let mut methods = BTreeMap::<String, BTreeSet<String>>::new();
    for Operation { method, path, .. } in operations(&store).await {
        methods
            .entry(path)
            .or_default()
            .insert(method.to_uppercase());
    }
    for (path, has) in &methods {
        let id = if path.starts_with("/api/users") {
            me["id"].as_str().unwrap()
        } else {
            order
        };
        let path = path.replace("{id}", id).replace("{order_id}", order);
        let path = path.replace("{user_id}", me["id"].as_str().unwrap());
        let path = path
            .replace("{sku}", catalogue.sku)
            .replace("{zone}", catalogue.zone);
        check(manager, &path, has).await;
    }
    let only_get = BTreeSet::from(["GET".to_owned()]);
    for path in ["/api/docs/", "/api/docs/problems", "/api/docs/orders/"] {
        check(&store.guest, path, &only_get).await;
    }
    for service in SERVICES {
        let own = Client::new(format!("http://{}", store.address(service)));
        for path in UNLISTED {
            check(&own, path, &only_get).await;
        }
    }
    for method in ["GET", "HEAD", "OPTIONS", "BREW"] {
        let nothing = ask(&store.guest, method, "/api/nothing").await;
        assert_eq!(nothing.status, StatusCode::NOT_FOUND, "{method}");
    }
    store.stop().await;
}

/// A stream would stay open, and take a watching customer's place.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_opens_no_stream() {
    let mut store = Store::start_with(&[("orders", &["--max-streams=1"])]).await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    store.stop_service("warehouse").await;
    let order = catalogue.place(&customer, &catalogue.order(1)).await;
    let path = format!("/api/orders/{order}/events");
    for _ in 0..3 {
        let head = ask(&customer, "HEAD", &path).await;
        assert_eq!(head.status, StatusCode::OK);
        assert_eq!(head.headers["content-type"], "text/event-stream");
    }
    let watched = customer.stream(&path, None).await.unwrap();
    assert_eq!(watched.status(), StatusCode::OK);
    drop(watched);
    store.start_service("warehouse").await;
    store.stop().await;
}
