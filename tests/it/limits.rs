use std::time::Duration;

use gateway::routes::{Route, route};
use reqwest::{Method, StatusCode};
use tovar::client::Client;

use crate::harness::{SERVICES, Store, each, operations};

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_too_much_waits_and_holds_up_nobody_else() {
    let store =
        Store::start_with(&[("notifications", &["--rate-limit=2", "--rate-burst=5"])]).await;
    let (ada, bob) = (
        store.guest.new_customer(0).await.unwrap(),
        store.guest.new_customer(0).await.unwrap(),
    );
    let ask = async |who: &Client| who.get("/api/notifications").await.unwrap();
    for _ in 0..5 {
        assert_eq!(ask(&ada).await.status, StatusCode::OK);
    }
    let mut limited = ask(&ada).await;
    while limited.status == StatusCode::OK {
        limited = ask(&ada).await;
    }
    assert_eq!(
        (limited.status, limited.code()),
        (StatusCode::TOO_MANY_REQUESTS, Some("too_many_requests"))
    );
    let wait: u64 = limited.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(ask(&bob).await.status, StatusCode::OK);
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(ask(&ada).await.status, StatusCode::OK);
    store.stop().await;
}

/// Also one that is reached without the gateway: what it has a route for and what it has not,
/// whatever token is sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_counts_every_request_by_its_network() {
    const ENOUGH: usize = 200;
    let store = Store::start_with(&each(&["--network-rate-limit=20"])).await;
    let mut routes: Vec<(&str, Method, String)> = Vec::new();
    for operation in operations(&store).await {
        let Route::To(service, _) = route(&operation.path) else {
            panic!("{} leads nowhere", operation.path);
        };
        let path = operation.path.replace(['{', '}'], "");
        routes.push((service.name(), operation.method(), path));
    }
    for service in SERVICES {
        for path in ["/", "/api/nothing", "/docs/", "/openapi.json"] {
            routes.push((service, Method::GET, path.to_owned()));
        }
        routes.push((
            service,
            Method::from_bytes(b"BREW").unwrap(),
            "/docs/".to_owned(),
        ));
    }
    for (number, (service, method, path)) in routes.into_iter().enumerate() {
        let door = Client::new(format!("http://{}", store.address(service)));
        let network = format!("10.1.2.{number}:4711");
        let (mut sent, mut limited) = (0, None);
        while limited.is_none() {
            let token = format!("Bearer {sent}");
            let headers = [("x-forwarded-for", &*network), ("authorization", &*token)];
            let answer = door.send_with(method.clone(), &path, None, &headers).await;
            limited = answer
                .ok()
                .filter(|answer| answer.code() == Some("too_many_requests"));
            sent += 1;
            assert!(sent < ENOUGH, "{service} {method} {path} is never limited");
        }
        let limited = limited.unwrap();
        assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(limited.retry_after().is_some(), "{method} {path}");
        assert!(sent > 20, "{service} {method} {path}: {sent}");
    }
    store.end().await;
}
