//! The limits of what a client may cost.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

use crate::fixture::{Fixture, Services};

const SOON: Duration = Duration::from_secs(10);

async fn connect(fixture: &Fixture) -> TcpStream {
    TcpStream::connect(fixture.gateway.address).await.unwrap()
}

/// The first line of the answer; empty if the connection is closed without one.
async fn status_of(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut some = [0; 4096];
    while !text.contains(&b'\n') {
        match timeout(SOON, stream.read(&mut some))
            .await
            .expect("an answer or an end")
        {
            Ok(0) | Err(_) => break,
            Ok(count) => text.extend(&some[..count]),
        }
    }
    let text = String::from_utf8_lossy(&text);
    text.lines().next().unwrap_or_default().to_owned()
}

async fn ask(stream: &mut TcpStream) -> String {
    // It may be closed already.
    let _ = stream
        .write_all(b"GET /api/goods HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    status_of(stream).await
}

/// Waits until the gateway has so many connections open.
async fn until_open(fixture: &Fixture, count: f64) {
    let deadline = Instant::now() + SOON;
    loop {
        let open = fixture.metric(&["tovar_gateway_connections{"]).await;
        if (open - count).abs() < 0.5 {
            return;
        }
        assert!(Instant::now() < deadline, "{open} connections are open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn is_bounded(settings: &[&str], most: usize) {
    let fixture = Fixture::start(settings).await;
    let mut open = Vec::new();
    for _ in 0..most {
        let mut stream = connect(&fixture).await;
        assert_eq!(ask(&mut stream).await, "HTTP/1.1 200 OK");
        open.push(stream);
    }
    for _ in 0..5 {
        let answer = ask(&mut connect(&fixture).await).await;
        assert!(
            ["HTTP/1.1 503 Service Unavailable", ""].contains(&&*answer),
            "{answer}"
        );
    }
    assert!(
        fixture
            .metric(&["gateway_refused_total", "connections"])
            .await
            >= 5.0
    );
    // A freed permit can be used again.
    open.pop();
    let free = u32::try_from(open.len()).unwrap();
    until_open(&fixture, f64::from(free)).await;
    assert_eq!(ask(&mut connect(&fixture).await).await, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn a_network_has_so_many_connections() {
    is_bounded(&["--max-connections-per-network=4"], 4).await;
}

#[tokio::test]
async fn all_together_have_so_many_connections() {
    // Behind a proxy all of them come from one address.
    is_bounded(
        &[
            "--max-connections=6",
            "--max-connections-per-network=1",
            "--trusted-proxies=1",
        ],
        6,
    )
    .await;
    is_bounded(
        &[
            "--max-connections=6",
            "--max-connections-per-network=1",
            "--rate-limit=0",
        ],
        6,
    )
    .await;
}

#[tokio::test]
async fn a_head_is_not_larger_than_it_may_be() {
    let fixture = Fixture::start(&[]).await;
    let head = |size: usize, count: usize| {
        let mut text = "GET /api/goods HTTP/1.1\r\nhost: localhost\r\n".to_owned();
        for number in 0..count {
            text += &format!("x-{number}: {}\r\n", "a".repeat(size / count));
        }
        text + "\r\n"
    };
    for (size, count, wanted) in [
        (30_000, 3, "HTTP/1.1 200 OK"),
        (33_000, 3, "HTTP/1.1 431 Request Header Fields Too Large"),
        (1_000, 90, "HTTP/1.1 200 OK"),
        (1_000, 110, "HTTP/1.1 431 Request Header Fields Too Large"),
    ] {
        let mut stream = connect(&fixture).await;
        stream
            .write_all(head(size, count).as_bytes())
            .await
            .unwrap();
        assert_eq!(
            status_of(&mut stream).await,
            wanted,
            "{size} bytes in {count} headers"
        );
    }
    // One that never ends costs no more than that.
    let mut stream = connect(&fixture).await;
    stream
        .write_all(&head(60_000, 2).as_bytes()[..50_000])
        .await
        .unwrap();
    assert!(status_of(&mut stream).await.starts_with("HTTP/1.1 431"));
    assert_eq!(fixture.services.asked().len(), 2);
}

#[tokio::test]
async fn who_connects_and_says_nothing_is_let_go() {
    let fixture = Fixture::start(&[]).await;
    let mut silent = connect(&fixture).await;
    let mut slow = connect(&fixture).await;
    slow.write_all(b"GET /api/goods HTTP/1.1\r\nhost: local")
        .await
        .unwrap();
    let mut idle = connect(&fixture).await;
    assert_eq!(ask(&mut idle).await, "HTTP/1.1 200 OK");
    for stream in [&mut silent, &mut slow, &mut idle] {
        status_of(stream).await;
    }
    until_open(&fixture, 0.0).await;
}

/// Otherwise such a client would hold an answer in memory, and a permit, for as long as it likes.
#[tokio::test]
async fn who_takes_nothing_of_an_answer_is_let_go() {
    let services = Services::answering(vec![b'a'; 32 * 1024 * 1024]).await;
    let fixture = Fixture::before(services, &["--write-timeout=1"]).await;
    let mut stream = connect(&fixture).await;
    stream
        .write_all(b"GET /api/goods HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    until_open(&fixture, 1.0).await;
    until_open(&fixture, 0.0).await;

    // A client that reads slowly gets all of it.
    let mut slow = connect(&fixture).await;
    slow.write_all(b"GET /api/goods HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let (mut taken, mut some) = (0, vec![0; 4 * 1024 * 1024]);
    loop {
        let count = timeout(SOON, slow.read(&mut some)).await.unwrap().unwrap();
        if count == 0 {
            break;
        }
        taken += count;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(taken > 32 * 1024 * 1024, "{taken}");
}

#[tokio::test]
async fn the_page_of_problems_is_made_once_for_many() {
    let body = r#"[{"code":"made_up","status":400,"meaning":"Made up."}]"#;
    let fixture = Fixture::before(Services::answering(body).await, &["--rate-limit=0"]).await;
    let pages = (0..30).map(|_| fixture.send("GET", "/api/docs/problems", &[]));
    for page in futures_util::future::join_all(pages).await {
        assert!(page.body.contains("made_up") && page.body.contains("host_not_allowed"));
    }
    let asked = fixture.services.asked();
    assert_eq!(asked.len(), 6, "{asked:#?}");
    assert!(asked.iter().all(|asked| asked.path == "/problems.json"));
}

#[tokio::test]
async fn the_page_of_problems_waits_for_no_service_and_takes_no_flood() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_orders = format!("--orders=http://{}", silent.local_addr().unwrap());
    let meaning = "a".repeat(1024 * 1024);
    let flood = format!(r#"[{{"code":"flood","status":400,"meaning":"{meaning}"}}]"#);
    let flood = Services::answering(flood).await;
    let flood_of_billing = format!("--billing=http://{}", flood.address);
    let body = r#"[{"code":"made_up","status":400,"meaning":"Made up."}]"#;
    let fixture = Fixture::before(
        Services::answering(body).await,
        &[&silent_orders, &flood_of_billing],
    )
    .await;
    let began = Instant::now();
    let page = fixture.send("GET", "/api/docs/problems", &[]).await;
    assert!(page.body.contains("made_up"), "{}", page.body);
    assert!(page.body.len() < 10_000, "{}", page.body.len());
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}
