//! Host names, methods, and the trace headers of strangers.

use std::collections::BTreeSet;

use crate::fixture::{Fixture, every_route};

/// Otherwise a web page whose name resolves to this address makes its visitors' browsers use the
/// store.
#[tokio::test]
async fn a_host_name_that_is_not_allowed_gets_nowhere() {
    let fixture = Fixture::start(&[]).await;
    for (method, path) in every_route() {
        let answer = fixture
            .send(&method, &path, &[("host", "evil.example:8080")])
            .await;
        assert_eq!(answer.status, 421, "{method} {path}");
        assert!(method == "HEAD" || answer.code().as_deref() == Some("host_not_allowed"));
    }
    assert!(fixture.services.asked().is_empty());
    for host in [
        "localhost",
        "LOCALHOST:99",
        "127.0.0.1:8080",
        "[::1]:8080",
        "localhost.",
    ] {
        assert_eq!(
            fixture
                .send("GET", "/api/goods", &[("host", host)])
                .await
                .status,
            200,
            "{host}"
        );
    }
    for host in [
        "127.0.0.2",
        "localhost.evil.example",
        "xlocalhost",
        "[::2]",
        "",
    ] {
        assert_eq!(
            fixture
                .send("GET", "/api/goods", &[("host", host)])
                .await
                .status,
            421,
            "{host}"
        );
    }
    assert!(fixture.metric(&["gateway_refused_total", "\"host\""]).await > 40.0);
}

#[tokio::test]
async fn who_runs_the_store_says_which_host_names_are_allowed() {
    let fixture = Fixture::start(&["--allowed-hosts=shop.example.org,*.example.net"]).await;
    for (host, status) in [
        ("shop.example.org", 200),
        ("SHOP.example.org:443", 200),
        ("127.0.0.1", 421),
    ] {
        assert_eq!(
            fixture
                .send("GET", "/api/goods", &[("host", host)])
                .await
                .status,
            status,
            "{host}"
        );
    }
    let any = Fixture::start(&["--allowed-hosts=*"]).await;
    assert_eq!(
        any.send("GET", "/api/goods", &[("host", "evil.example")])
            .await
            .status,
        200
    );
}

/// Invented methods and paths are passed on to no service, and make no time series.
#[tokio::test]
async fn a_method_that_a_stranger_invents_gets_nowhere() {
    let fixture = Fixture::start(&["--rate-limit=0"]).await;
    let series = async || {
        let lines = fixture.metrics().await;
        let names = lines
            .iter()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '));
        names
            .map(|(name, _)| name.to_owned())
            .collect::<BTreeSet<_>>()
    };
    let before = series().await;
    let paths: BTreeSet<String> = every_route().into_iter().map(|(_, path)| path).collect();
    for (number, path) in paths.iter().enumerate() {
        for method in [
            format!("BREW{number}"),
            "A".repeat(20_000 + number),
            "TRACE".to_owned(),
        ] {
            let answer = fixture.send(&method, path, &[]).await;
            let wanted = if answer.headers.contains_key("allow") {
                405
            } else {
                404
            };
            assert_eq!(answer.status, wanted, "{path}");
        }
    }
    assert!(fixture.services.asked().is_empty());
    assert_eq!(series().await, before);
    let refused = fixture.send("BREW", "/api/users/me", &[]).await;
    assert_eq!(
        refused.headers["allow"],
        "DELETE, GET, PATCH, HEAD, OPTIONS"
    );
    assert_eq!(refused.code().as_deref(), Some("method_not_allowed"));
}

/// A stranger could hide requests, or add lines to the trace of another customer's order.
#[tokio::test]
async fn a_strangers_trace_is_not_gone_on_with() {
    let fixture = Fixture::start(&[]).await;
    let theirs = "0af7651916cd43dd8448eb211c80319c";
    for flags in ["00", "01"] {
        let traceparent = format!("00-{theirs}-b7ad6b7169203331-{flags}");
        let headers = [
            ("traceparent", &*traceparent),
            ("tracestate", "vendor=1"),
            ("baggage", "user=ada"),
        ];
        fixture.send("GET", "/api/goods", &headers).await;
        let asked = fixture.services.asked().pop().unwrap();
        let ours = asked.headers["traceparent"].to_str().unwrap();
        assert!(!ours.contains(theirs), "{ours}");
        assert!(ours.ends_with("-01"), "{ours}");
        assert!(!asked.headers.contains_key("tracestate"));
        assert!(!asked.headers.contains_key("baggage"));
    }
}
