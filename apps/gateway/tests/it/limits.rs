//! How often callers and networks may ask, whatever they ask for.

use limits::Purpose;

use crate::fixture::{Fixture, every_way};

/// Method, path and headers.
type Way<'w> = (&'w str, &'w str, Vec<(&'w str, &'w str)>);

/// How many requests are taken until one is not; all are, if it is as many as there are.
async fn taken(fixture: &Fixture, ways: &[Way<'_>]) -> usize {
    for (number, (method, path, headers)) in ways.iter().enumerate() {
        if fixture.send(method, path, headers).await.is_limited() {
            return number;
        }
    }
    ways.len()
}

/// Each from a network of its own, as a proxy says.
#[tokio::test]
async fn every_route_and_what_is_none_is_counted_by_network() {
    let fixture = Fixture::start(&["--trusted-proxies=1", "--network-rate-limit=5"]).await;
    for (number, (method, path)) in every_way().iter().enumerate() {
        let network = format!("10.1.2.{number}");
        let asked = fixture.services.asked().len();
        let way = (&**method, &**path, vec![("x-forwarded-for", &*network)]);
        let taken = taken(&fixture, &vec![way; 60]).await;
        assert!((5..60).contains(&taken), "{method} {path}: {taken} of 60");
        assert!(
            fixture.services.asked().len() - asked <= taken + 6,
            "{method} {path}"
        );
    }
    assert!(fixture.metric(&["gateway_refused_total", "\"rate\""]).await >= 40.0);
}

/// A guess at a password has a limit of its network's, and any token only more of what is counted.
#[tokio::test]
async fn no_token_raises_the_limit_of_log_ins() {
    let fixture = Fixture::start(&["--trusted-proxies=1", "--login-rate-limit=3"]).await;
    let mut strict = 0;
    for (number, (method, path)) in every_way().iter().enumerate() {
        let network = format!("10.1.2.{number}");
        let tokens: Vec<String> = (0..10)
            .map(|number| format!("Bearer token-{number}"))
            .collect();
        let ways = tokens.iter().map(|token| {
            let headers = vec![("x-forwarded-for", &*network), ("authorization", &**token)];
            (&**method, &**path, headers)
        });
        let ways: Vec<_> = ways.collect();
        let allowed = match Purpose::of(method, path) {
            Purpose::LogIn => 3,
            Purpose::Other => 10,
        };
        strict += usize::from(allowed == 3);
        assert_eq!(taken(&fixture, &ways).await, allowed, "{method} {path}");
    }
    assert!(strict >= 3, "{strict}");
}

#[tokio::test]
async fn a_caller_is_counted_wherever_they_come_from() {
    let fixture =
        Fixture::start(&["--trusted-proxies=1", "--rate-limit=1", "--rate-burst=3"]).await;
    let networks: Vec<String> = (0..10).map(|number| format!("10.1.2.{number}")).collect();
    for token in ["Bearer ada", "Bearer bob"] {
        let ways = networks.iter().map(|network| {
            let headers = vec![("x-forwarded-for", &**network), ("authorization", token)];
            ("GET", "/api/orders", headers)
        });
        assert_eq!(
            taken(&fixture, &ways.collect::<Vec<_>>()).await,
            3,
            "{token}"
        );
    }
}

#[tokio::test]
async fn a_network_of_version_6_is_counted_whole() {
    let fixture = Fixture::start(&["--trusted-proxies=1", "--login-rate-limit=3"]).await;
    let from = async |addresses: Vec<String>| {
        let ways = addresses.iter().map(|address| {
            let headers = vec![("x-forwarded-for", &**address)];
            ("POST", "/api/sessions", headers)
        });
        taken(&fixture, &ways.collect::<Vec<_>>()).await
    };
    let of_one_network = (0..10).map(|number| format!("[2001:db8:1:1::{number:x}]:4711"));
    assert_eq!(from(of_one_network.collect()).await, 3);
    let of_one_site = (0..60).map(|number| format!("2001:db8:2:{number:x}::1"));
    assert_eq!(from(of_one_site.collect()).await, 48);
}

/// Whatever a client says of itself, the services hear who has sent the request.
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
    for (method, path) in every_way() {
        let way = (&*method, &*path, vec![("authorization", "Bearer ada")]);
        assert_eq!(taken(&fixture, &vec![way; 5]).await, 5, "{method} {path}");
    }
}
