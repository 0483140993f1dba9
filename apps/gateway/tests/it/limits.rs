//! The rate limits of callers and networks, on every route.

use limits::Purpose;

use crate::fixture::{Fixture, every_route};

/// Method, path and headers.
type Sent<'w> = (&'w str, &'w str, Vec<(&'w str, &'w str)>);

/// How many requests are admitted until one is refused; the number of all, if none is.
async fn taken(fixture: &Fixture, requests: &[Sent<'_>]) -> usize {
    for (number, (method, path, headers)) in requests.iter().enumerate() {
        if fixture.send(method, path, headers).await.is_limited() {
            return number;
        }
    }
    requests.len()
}

/// Each route is called from a network of its own, by the header of a proxy.
#[tokio::test]
async fn every_route_and_what_is_none_is_counted_by_network() {
    let fixture = Fixture::start(&["--trusted-proxies=1", "--network-rate-limit=5"]).await;
    for (number, (method, path)) in every_route().iter().enumerate() {
        let network = format!("10.1.2.{number}");
        let asked = fixture.services.asked().len();
        let request = (&**method, &**path, vec![("x-forwarded-for", &*network)]);
        let taken = taken(&fixture, &vec![request; 60]).await;
        assert!((5..60).contains(&taken), "{method} {path}: {taken} of 60");
        assert!(
            fixture.services.asked().len() - asked <= taken + 6,
            "{method} {path}"
        );
    }
    assert!(fixture.metric(&["gateway_refused_total", "\"rate\""]).await >= 40.0);
}

/// Guesses at passwords have a limit per network; a token only adds the limit of its caller.
#[tokio::test]
async fn no_token_raises_the_limit_of_log_ins() {
    let fixture = Fixture::start(&["--trusted-proxies=1", "--login-rate-limit=3"]).await;
    let mut strict = 0;
    for (number, (method, path)) in every_route().iter().enumerate() {
        let network = format!("10.1.2.{number}");
        let tokens: Vec<String> = (0..10)
            .map(|number| format!("Bearer token-{number}"))
            .collect();
        let requests = tokens.iter().map(|token| {
            let headers = vec![("x-forwarded-for", &*network), ("authorization", &**token)];
            (&**method, &**path, headers)
        });
        let requests: Vec<_> = requests.collect();
        let allowed = match Purpose::of(method, path) {
            Purpose::LogIn => 3,
            Purpose::Other => 10,
        };
        strict += usize::from(allowed == 3);
        assert_eq!(taken(&fixture, &requests).await, allowed, "{method} {path}");
    }
    assert!(strict >= 3, "{strict}");
}

#[tokio::test]
async fn a_caller_is_counted_wherever_they_come_from() {
    let fixture =
        Fixture::start(&["--trusted-proxies=1", "--rate-limit=1", "--rate-burst=3"]).await;
    let networks: Vec<String> = (0..10).map(|number| format!("10.1.2.{number}")).collect();
    for token in ["Bearer ada", "Bearer bob"] {
        let requests = networks.iter().map(|network| {
            let headers = vec![("x-forwarded-for", &**network), ("authorization", token)];
            ("GET", "/api/orders", headers)
        });
        assert_eq!(
            taken(&fixture, &requests.collect::<Vec<_>>()).await,
            3,
            "{token}"
        );
    }
}

#[tokio::test]
async fn a_network_of_version_6_is_counted_whole() {
    let fixture = Fixture::start(&["--trusted-proxies=1", "--login-rate-limit=3"]).await;
    let from = async |addresses: Vec<String>| {
        let requests = addresses.iter().map(|address| {
            let headers = vec![("x-forwarded-for", &**address)];
            ("POST", "/api/sessions", headers)
        });
        taken(&fixture, &requests.collect::<Vec<_>>()).await
    };
    let of_one_network = (0..10).map(|number| format!("[2001:db8:1:1::{number:x}]:4711"));
    assert_eq!(from(of_one_network.collect()).await, 3);
    let of_one_site = (0..60).map(|number| format!("2001:db8:2:{number:x}::1"));
    assert_eq!(from(of_one_site.collect()).await, 48);
}

/// The services learn the sender's address, whatever the client writes into the header.
#[tokio::test]
async fn the_services_hear_who_has_sent_a_request() {
    for (proxies, said, heard) in [
        ("--trusted-proxies=0", "1.2.3.4", "127.0.0.1"),
        ("--trusted-proxies=1", "9.9.9.9, 1.2.3.4:5678", "1.2.3.4"),
        (
            "--trusted-proxies=2",
            "9.9.9.9, 1.2.3.4, 10.0.0.1",
            "1.2.3.4",
        ),
        ("--trusted-proxies=1", "9.9.9.9, unknown", "127.0.0.1"),
    ] {
        let fixture = Fixture::start(&[proxies]).await;
        fixture
            .send("GET", "/api/goods", &[("x-forwarded-for", said)])
            .await;
        let asked = &fixture.services.asked()[0];
        let addresses: Vec<_> = asked.headers.get_all("x-forwarded-for").iter().collect();
        assert_eq!(addresses, [heard], "{proxies} {said}");
    }
}

#[tokio::test]
async fn without_a_limit_nothing_is_limited() {
    let settings = [
        "--rate-limit=0",
        "--network-rate-limit=1",
        "--login-rate-limit=1",
    ];
    let fixture = Fixture::start(&settings).await;
    for (method, path) in every_route() {
        let request = (&*method, &*path, vec![("authorization", "Bearer ada")]);
        assert_eq!(
            taken(&fixture, &vec![request; 5]).await,
            5,
            "{method} {path}"
        );
    }
}
