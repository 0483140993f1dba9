//! The headers by which every answer of every operation instructs browsers and caches.

use reqwest::StatusCode;
use tovar::client::{Answer, Client, wait_for};

use crate::harness::{
    Catalogue, MustSucceed, Operation, SERVICES, Store, WITHIN, body_of, operations,
};

async fn send(caller: &Client, operation: &Operation, path: &str) -> Answer {
    let body = operation.takes_body.then(|| body_of(operation));
    let key = uuid::Uuid::new_v4().to_string();
    let key = operation.takes_key.then_some(key.as_str());
    caller
        .send(operation.method(), path, body.as_ref(), key)
        .await
        .unwrap()
}

fn check(answer: &Answer, name: &str, may_be_kept: bool) {
    let keeping = answer.headers["cache-control"].to_str().unwrap();
    let is_asked_again = keeping == "no-cache" || keeping.starts_with("max-age=");
    assert!(
        if may_be_kept {
            is_asked_again
        } else {
            keeping == "no-store"
        },
        "{name}: {keeping}"
    );
    for (header, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ] {
        let found = answer.headers.get(header);
        assert_eq!(
            found.map(|found| found.to_str().unwrap()),
            Some(value),
            "{name}: {header}"
        );
    }
    let policy = answer.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{name}: {policy}");
    let scripts = policy.split("script-src").nth(1).unwrap_or_default();
    assert!(
        !scripts.split(';').next().unwrap().contains("unsafe"),
        "{name}: {policy}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_cache_on_the_way_keeps_what_is_personal_or_secret() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 10).await;
    let manager = &store.manager;
    wait_for("the manager's account", WITHIN, async || {
        Ok(manager.get("/api/account").await?.status == StatusCode::OK)
    })
    .await
    .unwrap();
    let top_up = serde_json::json!({ "amount": 10_000 });
    manager.ok_post("/api/account/top-ups", &top_up).await;
    let order = catalogue.buy(manager, &catalogue.order(1)).await;
    let order = order["id"].as_str().unwrap();
    let me = manager.ok_get("/api/users/me").await;
    let (mut secret, mut public) = (0, 0);
    let logs_out = store.new_user("customer").await;
    for operation in operations(&store).await {
        let name = operation.name();
        let me = me["id"].as_str().unwrap();
        let id = if operation.path.starts_with("/api/users") {
            me
        } else {
            order
        };
        let path = operation
            .path
            .replace("{id}", id)
            .replace("{order_id}", order);
        let path = path
            .replace("{user_id}", me)
            .replace("{sku}", catalogue.sku);
        let path = path.replace("{zone}", catalogue.zone);
        let is_public = operation.method == "get" && !operation.takes_token;
        let ends_sessions = operation.method == "delete" && path.starts_with("/api/sessions");
        let caller = if ends_sessions { &logs_out } else { manager };
        for caller in [&store.guest, caller] {
            let answer = send(caller, &operation, &path).await;
            let may_be_kept = is_public && answer.status.is_success();
            check(&answer, &name, may_be_kept);
            let is_success = answer.status.is_success();
            secret += usize::from(is_success && !is_public);
            public += usize::from(is_success && is_public);
        }
    }
    assert!(secret > 15 && public >= 8, "{secret} {public}");
    store.end().await;
}

/// A script in the page itself could come from an attacker, and a token that the page keeps is
/// the next visitor's.
#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_the_apis_run_their_own_files_only_and_keep_no_token() {
    let store = Store::start().await;
    for service in SERVICES {
        let own = Client::new(format!("http://{}", store.address(service)));
        let behind = format!("/api/docs/{service}/");
        for (client, base) in [(&own, "/docs/"), (&store.guest, &*behind)] {
            let page = client.get(base).await.unwrap();
            check(&page, base, true);
            assert!(
                page.headers["content-security-policy"]
                    .to_str()
                    .unwrap()
                    .contains("script-src 'self'")
            );
            let text = page.body.as_str().unwrap().to_owned();
            let scripts: Vec<&str> = text.split("<script").skip(1).collect();
            assert!(scripts.len() >= 2, "{text}");
            for script in scripts {
                assert!(script.starts_with(" src=\""), "{script}");
                assert!(script.contains("\"></script>"), "{script}");
            }
            let script = client.get(&format!("{base}docs.js")).await.unwrap();
            check(&script, "docs.js", true);
            let script = script.body.as_str().unwrap().to_owned();
            assert!(script.contains("SwaggerUIBundle("), "{script}");
            assert!(!script.contains("persistAuthorization"), "{script}");
            let nothing = client.get(&format!("{base}nothing")).await.unwrap();
            assert_eq!(nothing.status, StatusCode::NOT_FOUND);
            check(&nothing, "nothing", false);
        }
    }
    store.end().await;
}
