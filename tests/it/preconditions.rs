//! RFC 9110, section 13, on every route that has versions.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tovar::client::{Answer, Client};

use crate::harness::{Catalogue, MustSucceed, Store};

const FAILED: (StatusCode, Option<&str>) =
    (StatusCode::PRECONDITION_FAILED, Some("precondition_failed"));

/// A thing with versions: the address that reads it, and the request that changes it.
struct Thing<'c> {
    caller: &'c Client,
    read: String,
    method: Method,
    change: String,
    /// Changes that differ from each other.
    bodies: [Value; 2],
}

impl Thing<'_> {
    async fn get(&self, headers: &[(&str, &str)]) -> Answer {
        let answer = self
            .caller
            .send_with(Method::GET, &self.read, None, headers);
        answer.await.unwrap()
    }

    async fn etag(&self) -> String {
        self.get(&[]).await.headers["etag"]
            .to_str()
            .unwrap()
            .to_owned()
    }

    async fn change(&self, body: usize, headers: &[(&str, &str)]) -> Answer {
        let body = Some(&self.bodies[body]);
        let answer = self
            .caller
            .send_with(self.method.clone(), &self.change, body, headers);
        answer.await.unwrap()
    }
}

async fn a_read_follows_its_conditions(thing: &Thing<'_>) {
    let etag = thing.etag().await;
    let weak = format!("W/{etag}");
    for has_it in [&etag, &weak, "*", &format!("\"x\", {weak}")] {
        let answer = thing.get(&[("if-none-match", has_it)]).await;
        assert_eq!(
            answer.status,
            StatusCode::NOT_MODIFIED,
            "{}: {has_it}",
            thing.read
        );
        assert_eq!(answer.headers["etag"], *etag);
        assert_eq!(answer.body, "");
    }
    for other in ["\"x\"", "\"999\", W/\"998\""] {
        assert_eq!(
            thing.get(&[("if-none-match", other)]).await.status,
            StatusCode::OK
        );
        let failed = thing.get(&[("if-match", other)]).await;
        assert_eq!((failed.status, failed.code()), FAILED, "{}", thing.read);
    }
    assert_eq!(
        thing.get(&[("if-match", &etag)]).await.status,
        StatusCode::OK
    );
    // If-Match goes first.
    let both = thing
        .get(&[("if-match", "\"x\""), ("if-none-match", &etag)])
        .await;
    assert_eq!((both.status, both.code()), FAILED);
}

async fn a_change_follows_its_conditions(thing: &Thing<'_>) {
    let name = &thing.change;
    thing.change(0, &[]).await.success().unwrap();
    let etag = thing.etag().await;
    let weak = format!("W/{etag}");
    let failing: [&[(&str, &str)]; 8] = [
        &[("if-none-match", "*")],
        &[("if-none-match", &etag)],
        &[("if-none-match", &weak)],
        &[("if-match", "\"x\"")],
        &[("if-match", &weak)],
        &[("if-match", "\"x\", \"y\"")],
        &[("if-match", "\"x\""), ("if-match", "\"y\"")],
        &[("if-match", &etag), ("if-none-match", &etag)],
    ];
    for headers in failing {
        let failed = thing.change(1, headers).await;
        assert_eq!(
            (failed.status, failed.code()),
            FAILED,
            "{name}: {headers:?}"
        );
    }
    assert_eq!(thing.etag().await, etag, "{name}: nothing was changed");
    for headers in [
        ("if-match", "3"),
        ("if-match", ""),
        ("if-none-match", "\"x"),
    ] {
        let invalid = thing.change(1, &[headers]).await;
        let refusal = (invalid.status, invalid.code());
        assert_eq!(
            refusal,
            (StatusCode::BAD_REQUEST, Some("invalid_precondition")),
            "{name}: {headers:?}"
        );
    }
    // The same request once more may be a retry whose first answer was lost, and is no conflict.
    for same in [&[("if-match", "\"x\"")][..], &[("if-match", &etag)]] {
        let again = thing.change(0, same).await;
        assert_eq!(again.status, StatusCode::OK, "{name}: {:?}", again.body);
        assert_eq!(again.headers["etag"], *etag, "{name}");
    }
    let listed = format!("\"x\", {etag}");
    for (body, fitting) in [
        (1, &[("if-match", &*listed)][..]),
        (0, &[("if-match", "*")]),
    ] {
        let done = thing.change(body, fitting).await;
        assert_eq!(done.status, StatusCode::OK, "{name}: {:?}", done.body);
    }
    let done = thing.change(1, &[("if-none-match", "\"x\"")]).await;
    assert_eq!(done.status, StatusCode::OK, "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_with_versions_follows_the_conditions_of_its_callers() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 10).await;
    let ada = store.guest.new_customer(0).await.unwrap();
    let me = ada.ok_get("/api/users/me").await;
    let person = format!("/api/users/{}", me["id"].as_str().unwrap());
    // A suspended user is logged out, so she is not the one.
    let (_, _, other) = store.guest.register("Bob").await.unwrap();
    let other = format!("/api/users/{}", other["id"].as_str().unwrap());
    let goods = format!("/api/goods/{}", catalogue.sku);
    let things = [
        Thing {
            caller: &store.manager,
            read: goods.clone(),
            method: Method::PUT,
            change: goods,
            bodies: [1, 2].map(|price| json!({ "name": "Tea", "price": price })),
        },
        Thing {
            caller: &ada,
            read: "/api/users/me".to_owned(),
            method: Method::PATCH,
            change: "/api/users/me".to_owned(),
            bodies: ["Ada", "Bea"].map(|name| json!({ "name": name })),
        },
        Thing {
            caller: &store.manager,
            read: person.clone(),
            method: Method::PUT,
            change: format!("{person}/role"),
            bodies: ["courier", "customer"].map(|role| json!({ "role": role })),
        },
        Thing {
            caller: &store.manager,
            read: other.clone(),
            method: Method::PUT,
            change: format!("{other}/status"),
            bodies: ["suspended", "active"].map(|status| json!({ "status": status })),
        },
    ];
    for thing in &things {
        a_read_follows_its_conditions(thing).await;
        a_change_follows_its_conditions(thing).await;
    }
    // A thing that does not exist yet, and one that must exist.
    let manager = &store.manager;
    for (path, body) in [
        ("/api/goods/new", json!({ "name": "New", "price": 1 })),
        ("/api/zones/new", json!({ "handover": "locker" })),
    ] {
        let put = async |header: (&str, &str)| {
            let headers = [header];
            let answer = manager.send_with(Method::PUT, path, Some(&body), &headers);
            answer.await.unwrap()
        };
        for missing in ["*", "\"1\""] {
            let failed = put(("if-match", missing)).await;
            assert_eq!((failed.status, failed.code()), FAILED, "{path}");
        }
        assert_eq!(
            put(("if-none-match", "*")).await.status,
            StatusCode::CREATED,
            "{path}"
        );
        let failed = put(("if-none-match", "*")).await;
        assert_eq!((failed.status, failed.code()), FAILED, "{path}");
        assert_eq!(
            put(("if-match", "*")).await.status,
            StatusCode::OK,
            "{path}"
        );
    }
    let leave = async |etag: &str| {
        let headers = [("if-match", etag)];
        let answer = ada.send_with(Method::DELETE, "/api/users/me", None, &headers);
        answer.await.unwrap()
    };
    let etag = things[1].etag().await;
    let failed = leave("\"x\"").await;
    assert_eq!((failed.status, failed.code()), FAILED);
    assert_eq!(leave(&etag).await.status, StatusCode::NO_CONTENT);
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_are_new_once_however_many_managers_list_them() {
    let store = Store::start().await;
    let manager = &store.manager;
    for round in 0..10 {
        let path = format!("/api/goods/round-{round}");
        let put = async |price: usize, headers: &[(&str, &str)]| {
            let body = json!({ "name": "Tea", "price": price });
            let answer = manager.send_with(Method::PUT, &path, Some(&body), headers);
            answer.await.unwrap().status
        };
        let condition: &[(&str, &str)] = if round % 2 == 0 {
            &[]
        } else {
            &[("if-none-match", "*")]
        };
        let statuses = join_all((1..=4).map(|price| put(price, condition))).await;
        let later = if condition.is_empty() {
            StatusCode::OK
        } else {
            StatusCode::PRECONDITION_FAILED
        };
        let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
        assert_eq!(
            (count(StatusCode::CREATED), count(later)),
            (1, 3),
            "{statuses:?}"
        );
    }
    store.stop().await;
}
