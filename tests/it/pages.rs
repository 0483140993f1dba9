use reqwest::StatusCode;

use crate::harness::{MustSucceed, Store};

#[tokio::test(flavor = "multi_thread")]
async fn every_service_shows_its_api_its_health_and_its_metrics() {
    let store = Store::start().await;
    let http = reqwest::Client::new();
    for service in store.databases.keys() {
        let api = store
            .guest
            .ok_get(&format!("/api/docs/{service}/openapi.json"))
            .await;
        assert_eq!(api["info"]["title"], **service);
        assert!(
            api["paths"]
                .as_object()
                .is_some_and(|paths| !paths.is_empty()),
            "{service}"
        );
        let page = store
            .guest
            .get(&format!("/api/docs/{service}/"))
            .await
            .unwrap();
        assert_eq!(page.status, StatusCode::OK, "{service}");
        assert!(
            page.body
                .as_str()
                .is_some_and(|html| html.contains("swagger-ui-bundle.js")),
            "{service}"
        );
        for file in ["swagger-ui-bundle.js", "swagger-ui.css"] {
            let file = store
                .guest
                .get(&format!("/api/docs/{service}/{file}"))
                .await
                .unwrap();
            assert_eq!(file.status, StatusCode::OK, "{service}");
        }

        let ops = &store.ops[service];
        for path in ["/health/live", "/health/ready"] {
            assert_eq!(
                http.get(format!("{ops}{path}"))
                    .send()
                    .await
                    .unwrap()
                    .status(),
                200,
                "{service} {path}"
            );
        }
        let metrics = http
            .get(format!("{ops}/metrics"))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        assert!(
            metrics.contains("tovar_http_requests_total"),
            "{service}: {metrics}"
        );
    }
    let problems = store.guest.get("/api/docs/problems").await.unwrap();
    for code in [
        "insufficient_funds",
        "unknown_sku",
        "idempotency_key_reused",
        "not_out_for_delivery",
    ] {
        assert!(
            problems
                .body
                .as_str()
                .is_some_and(|html| html.contains(&format!("id=\"{code}\""))),
            "{code}"
        );
    }
    let nothing = store.guest.get("/api/nothing").await.unwrap();
    assert_eq!(
        (nothing.status, nothing.code()),
        (StatusCode::NOT_FOUND, Some("no_such_route"))
    );
    store.stop().await;
}
