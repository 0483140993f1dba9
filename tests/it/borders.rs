//! Input from outside: heads, bodies, numbers and text of every kind.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tovar::client::Client;

use crate::harness::{Catalogue, MustSucceed, Store};

/// Sends these bytes; all that is answered until the connection ends.
async fn raw(address: std::net::SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let all = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await;
    // A client that is cut off while it still sends may see a reset instead of the end.
    let _ = all.expect("an answer in time");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_too_slow_is_cut_off() {
    let store = Store::start_with(&[("billing", &["--http-body-timeout=1"])]).await;
    let (billing, gateway) = (store.address("billing"), store.gateway_address());
    let long = format!(
        "GET /api/account HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n",
        "x".repeat(600_000)
    );
    for address in [billing, gateway] {
        let answer = raw(address, long.as_bytes()).await;
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        assert!(["400", "431", ""].contains(&status.as_str()), "{answer}");
        let slow = raw(address, b"GET /api/account HTTP/1.1\r\nhost: x\r\n").await;
        assert!(
            slow.is_empty() || slow.starts_with("HTTP/1.1 408"),
            "{slow}"
        );
    }
    let unfinished = "POST /api/account/top-ups HTTP/1.1\r\nhost: x\r\n\
        content-type: application/json\r\ncontent-length: 20\r\nconnection: close\r\n\r\n{\"am";
    let answer = raw(billing, unfinished.as_bytes()).await;
    assert!(answer.contains("body_too_slow"), "{answer}");
    let customer = store.guest.new_customer(0).await.unwrap();
    let large = json!({ "amount": 1, "x": "y".repeat(70_000) });
    let answer = customer.post("/api/account/top-ups", &large).await.unwrap();
    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::PAYLOAD_TOO_LARGE, Some("body_too_large"))
    );
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_beyond_their_limits_are_refused() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(1_000).await.unwrap();
    let line = |quantity: Value| {
        json!({
            "lines": [{ "sku": "tea", "quantity": quantity }],
            "zone": catalogue.zone,
            "slot_id": catalogue.slot,
        })
    };
    let slot = |capacity: Value| {
        json!({
            "starts_at": "2099-01-01T10:00:00Z",
            "ends_at": "2099-01-01T12:00:00Z",
            "capacity": capacity,
        })
    };
    let goods = |price: Value| json!({ "name": "Tea", "price": price });
    let outside = [
        json!(0),
        json!(-1),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(1e300),
        json!(0.5),
        json!(null),
        json!(true),
        json!([1]),
    ];
    for number in outside {
        let tries: [(&Client, Method, &str, Value); 6] = [
            (
                &customer,
                Method::POST,
                "/api/account/top-ups",
                json!({ "amount": number }),
            ),
            (
                &customer,
                Method::POST,
                "/api/account/withdrawals",
                json!({ "amount": number }),
            ),
            (&customer, Method::POST, "/api/orders", line(number.clone())),
            (
                &store.manager,
                Method::POST,
                "/api/goods/tea/receipts",
                json!({ "quantity": number }),
            ),
            (
                &store.manager,
                Method::POST,
                "/api/zones/lockers/slots",
                slot(number.clone()),
            ),
            (
                &store.manager,
                Method::PUT,
                "/api/goods/tea",
                goods(number.clone()),
            ),
        ];
        for (caller, method, path, body) in tries {
            let key = (method == Method::POST).then(|| uuid::Uuid::new_v4().to_string());
            let answer = caller
                .send(method, path, Some(&body), key.as_deref())
                .await
                .unwrap();
            assert_eq!(
                answer.status,
                StatusCode::UNPROCESSABLE_ENTITY,
                "{path} {body}: {:?}",
                answer.body
            );
        }
    }
    let account = customer.ok_get("/api/account").await;
    assert_eq!(
        (&account["available"], &account["held"]),
        (&json!(1_000), &json!(0))
    );
    let tea = store.guest.ok_get("/api/goods/tea").await;
    assert_eq!(
        (&tea["price"], &tea["available"]),
        (&json!(1_000), &json!(10))
    );
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a table of texts")]
async fn text_of_every_kind_comes_back_as_it_was_or_is_refused() {
    let store = Store::start().await;
    let customer = store.guest.new_customer(0).await.unwrap();
    let rename = async |name: &str| {
        let body = json!({ "name": name });
        customer
            .send(Method::PATCH, "/api/users/me", Some(&body), None)
            .await
            .unwrap()
    };
    let good = [
        "Zoë",
        "李小龍",
        "Ἀλέξανδρος",
        "\u{202b}שלום",
        "👩‍👩‍👧‍👦 🏳️‍🌈",
        "e\u{301}\u{323}\u{327}",
        "\u{10ffff}\u{e000}\u{fffd}",
        "'; DROP TABLE users; --",
        "<script>alert(1)</script>",
        "\\u0000 ${jndi} %s {}",
        &"𝕏".repeat(100),
    ];
    for name in good {
        let renamed = rename(name).await;
        assert_eq!(renamed.status, StatusCode::OK, "{name}: {:?}", renamed.body);
        let me = customer.ok_get("/api/users/me").await;
        assert_eq!(me["name"], *name);
    }
    for name in [
        "",
        "   ",
        "a\0b",
        "a\u{7}b",
        "a\u{1b}[31mb",
        "line\nbreak",
        "line\u{2028}break",
        "\u{200b}",
        "\u{301}",
        "\u{202e}\u{202c}",
        &"x".repeat(101),
    ] {
        let refused = rename(name).await;
        assert_eq!(
            refused.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{name:?}: {:?}",
            refused.body
        );
    }
    // Not even JSON, or not Unicode.
    for body in [
        &b"{\"name\": \"\\ud800\"}"[..],
        b"{\"name\": \"\xff\xfe\"}",
        b"{\"name\": \"a",
        b"[[[[",
        b"\xef\xbb\xbf{}",
        b"{\"name\":\"a\",\"name\":\"b\"} x",
    ] {
        let answer = customer
            .send_raw(Method::PATCH, "/api/users/me", body)
            .await
            .unwrap();
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::BAD_REQUEST, Some("malformed_json")),
            "{body:?}"
        );
    }
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let answer = customer
        .send_raw(Method::PATCH, "/api/users/me", deep.as_bytes())
        .await
        .unwrap();
    assert_eq!(answer.code(), Some("malformed_json"), "nested too deep");
    for path in [
        "/api/orders/not-an-id",
        "/api/goods/%00",
        "/api/goods/%ff%fe",
        "/api/zones/..%2f..%2fetc/slots",
        "/api/orders/%F0%9F%92%A9",
    ] {
        let answer = customer.get(path).await.unwrap();
        assert_eq!(
            answer.status,
            StatusCode::NOT_FOUND,
            "{path}: {:?}",
            answer.body
        );
    }
    for query in [
        "limit=0",
        "limit=101",
        "limit=x",
        "cursor=x",
        "cursor=%00",
        "unknown=1",
        "status=nothing",
    ] {
        let answer = customer.get(&format!("/api/orders?{query}")).await.unwrap();
        assert!(
            [400, 422].contains(&answer.status.as_u16()),
            "{query}: {:?}",
            answer.body
        );
    }
    store.stop().await;
}
