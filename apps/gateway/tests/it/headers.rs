//! Headers for browsers, and headers that belong to one connection.

use crate::fixture::{Fixture, every_route};

#[tokio::test]
async fn every_answer_tells_browsers_what_not_to_do() {
    let fixture = Fixture::start(&["--trusted-proxies=1", "--login-rate-limit=1"]).await;
    let (mut refused, mut limited) = (0, 0);
    for (number, (method, path)) in every_route().iter().enumerate() {
        let network = format!("10.1.2.{number}");
        for host in ["localhost", "localhost", "evil.example"] {
            let headers = [("host", host), ("x-forwarded-for", &*network)];
            let answer = fixture.send(method, path, &headers).await;
            refused += usize::from(answer.status == 421);
            limited += usize::from(answer.status == 429);
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "no-referrer"),
            ] {
                assert_eq!(answer.headers[name], value, "{method} {path}");
            }
            let policy = answer.headers["content-security-policy"].to_str().unwrap();
            assert!(
                policy.starts_with("default-src 'none'"),
                "{method} {path}: {policy}"
            );
            assert!(!policy.contains("script"), "{method} {path}: {policy}");
            assert!(!answer.body.contains("<script"), "{method} {path}");
            let is_page =
                path.starts_with("/api/docs") && answer.status == 200 && !path.contains("orders");
            let keeping = if is_page { "no-cache" } else { "no-store" };
            assert_eq!(answer.headers["cache-control"], keeping, "{method} {path}");
            assert!(!answer.headers.contains_key("strict-transport-security"));
        }
    }
    assert!(refused > 40 && limited >= 3, "{refused} {limited}");
}

#[tokio::test]
async fn browsers_come_over_tls_where_they_are_told_to() {
    let fixture = Fixture::start(&["--hsts-seconds=31536000"]).await;
    for path in ["/api/goods", "/api/docs/", "/api/nothing"] {
        let answer = fixture.send("GET", path, &[]).await;
        assert_eq!(
            answer.headers["strict-transport-security"], "max-age=31536000",
            "{path}"
        );
    }
}

#[tokio::test]
async fn what_is_of_one_connection_is_not_passed_on() {
    let fixture = Fixture::start(&[]).await;
    let of_connection = [
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("te", "trailers"),
        ("connection", "x-own"),
        ("x-own", "1"),
    ];
    let mut headers = of_connection.to_vec();
    headers.push(("x-kept", "1"));
    let answer = fixture.send("GET", "/api/goods", &headers).await;
    let asked = fixture.services.asked().pop().unwrap();
    for (name, _) in of_connection {
        assert!(!asked.headers.contains_key(name), "{name}");
    }
    assert_eq!(asked.headers["x-kept"], "1");
    assert!(!answer.headers.contains_key("keep-alive"));
}
