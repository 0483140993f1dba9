#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts, seconds and microseconds of a test that takes a minute"
)]

use std::{fs, path::Path, time::Duration};

use chrono::DateTime;
use futures_util::future::join_all;
use kernel::Clock;
use serde_json::Value;
use tovar::client::{Client, wait_for};

use crate::harness::{Catalogue, Prometheus, Store, WITHIN};

/// An answer as the gateway's journal has it.
#[derive(Debug)]
struct Line {
    at: f64,
    class: String,
    seconds: f64,
}

impl Line {
    fn of(text: &str) -> Self {
        let line: Value = serde_json::from_str(text).unwrap();
        let at = DateTime::parse_from_rfc3339(line["at"].as_str().unwrap()).unwrap();
        Self {
            at: at.timestamp_micros() as f64 / 1e6,
            class: line["class"].as_str().unwrap().to_owned(),
            seconds: line["seconds"].as_f64().unwrap(),
        }
    }

    fn is_error(&self) -> bool {
        ["5xx", "unreachable"].contains(&self.class.as_str())
    }
}

fn now() -> f64 {
    Clock::system().now().timestamp_micros() as f64 / 1e6
}

async fn until_scraped_after(prometheus: &Prometheus, moment: f64) {
    wait_for("a scrape of the gateway", WITHIN, async || {
        let scraped = prometheus
            .query("min(timestamp(tovar_gateway_requests_total))")
            .await?;
        Ok(scraped.first().is_some_and(|(_, at)| *at > moment))
    })
    .await
    .unwrap();
}

/// Requests of many kinds; some slow, some refused, some that the services answer with 503, some
/// that reach none.
async fn use_the_store(store: &mut Store, catalogue: &Catalogue, customers: &[Client]) {
    let ask =
        async |customer: &Client, path: &str| customer.get(path).await.unwrap().status.as_u16();
    for _ in 0..10 {
        join_all(customers.iter().map(async |customer| {
            catalogue.place(customer, &catalogue.order(1)).await;
            for path in [
                "/api/goods",
                "/api/account",
                "/api/orders",
                "/api/notifications",
            ] {
                assert_eq!(ask(customer, path).await, 200);
            }
            assert_eq!(ask(customer, "/api/orders/0").await, 404);
        }))
        .await;
    }
    // Goods are looked at while their table is locked: six in a hundred requests are slow.
    let warehouse = store.sql("warehouse").await;
    warehouse
        .batch_execute("BEGIN; LOCK TABLE goods IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let slow = join_all((0..15).map(async |_| ask(&store.guest, "/api/goods/tea").await));
    let unlock = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        warehouse.batch_execute("COMMIT").await.unwrap();
    };
    assert_eq!(tokio::join!(slow, unlock).0, [200; 15]);

    // Billing hears nothing of a newcomer.
    store.kill_relay("users");
    let newcomer = store.new_user("customer").await;
    for _ in 0..4 {
        assert_eq!(ask(&newcomer, "/api/account").await, 503);
    }
    store.start_relay("users").await;

    store.stop_service("notifications").await;
    for _ in 0..3 {
        assert_eq!(ask(&customers[0], "/api/notifications").await, 503);
    }
    store.start_service("notifications").await;
}

/// The bucket of a duration.
fn bucket(edges: &[f64], seconds: f64) -> usize {
    edges.partition_point(|edge| *edge < seconds)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_boards_count_what_the_gateways_journal_says_of_the_same_minutes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal.jsonl");
    let setting = format!("--journal={}", file.display());
    let mut store = Store::start_with(&[("gateway", &[&setting])]).await;
    let Some(prometheus) = Prometheus::start(&store).await else {
        return store.stop().await;
    };
    let catalogue = Catalogue::open(&store, 1_000, 1_000).await;
    let customers =
        join_all((0..4).map(async |_| store.guest.new_customer(1_000_000).await.unwrap())).await;

    // A scrape before the first request and one after the last: what lies between them is counted,
    // and nothing else.
    let from = now();
    until_scraped_after(&prometheus, from + 1.0).await;
    use_the_store(&mut store, &catalogue, &customers).await;
    until_scraped_after(&prometheus, now()).await;
    let to = now();
    let range = (to - from) as u64;

    let lines = journal(&store, &file).await;
    let within: Vec<&Line> = lines
        .iter()
        .filter(|line| (from..to).contains(&line.at))
        .collect();
    let requests = within.len() as f64;
    let errors = within.iter().filter(|line| line.is_error()).count() as f64;
    assert!(requests > 250.0, "{requests}");
    assert!(errors >= 7.0, "{errors}");
    for class in ["2xx", "4xx", "5xx", "unreachable"] {
        assert!(within.iter().any(|line| line.class == class), "{class}");
    }

    let value_of = async |board, panel, legend| {
        let shown = prometheus.panel((board, panel, legend), range, to).await;
        shown.unwrap()
    };
    let budget = errors / requests / 0.001;
    for (board, panel, legend, wanted) in [
        ("slo-detail", "Requests in this range", "requests", requests),
        (
            "slo-detail",
            "Failed requests in this range",
            "failed",
            errors,
        ),
        ("slo-detail", "Budget that this range used", "used", budget),
        ("load-test", "Requests", "requests", requests),
        ("load-test", "Errors", "errors", errors),
    ] {
        let shown = value_of(board, panel, legend).await;
        assert!(
            (shown - wanted).abs() < 1e-6,
            "{board}, {panel}: {shown} is shown, and the journal has {wanted}"
        );
    }

    let mut durations: Vec<f64> = within.iter().map(|line| line.seconds).collect();
    durations.sort_by(f64::total_cmp);
    let p99 = durations[(durations.len() * 99).div_ceil(100) - 1];
    let edges = edges(&prometheus).await;
    for (board, panel) in [
        ("slo-detail", "p99 in this range"),
        ("load-test", "Answered within"),
    ] {
        let shown = value_of(board, panel, "p99").await;
        let (shown_in, wanted_in) = (bucket(&edges, shown), bucket(&edges, p99));
        assert!(
            shown_in.abs_diff(wanted_in) <= 1,
            "{board}: p99 is {shown} on the board and {p99} in the journal"
        );
    }
    the_budget_of_the_month(&prometheus, &lines).await;
    store.stop().await;
}

/// It is recorded every so often from rates, so that it is near and not equal.
async fn the_budget_of_the_month(prometheus: &Prometheus, lines: &[Line]) {
    let errors = lines.iter().filter(|line| line.is_error()).count();
    let wanted = errors as f64 / lines.len() as f64;
    let recorded = "slo:error_ratio:rate30d{slo=\"availability\"}";
    let mut shown = 0.0;
    let near = wait_for("the month's budget to be near", WITHIN, async || {
        shown = prometheus
            .query(recorded)
            .await?
            .first()
            .map_or(0.0, |(_, value)| *value);
        anyhow::ensure!(
            (shown / wanted - 1.0).abs() < 0.2,
            "{shown} is recorded, and the journal has {wanted}"
        );
        Ok(true)
    });
    near.await.unwrap();
}

async fn journal(store: &Store, file: &Path) -> Vec<Line> {
    store.journal_written().await;
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(Line::of).collect()
}

/// The edges of the gateway's histogram, without the last, which is infinite.
async fn edges(prometheus: &Prometheus) -> Vec<f64> {
    let query = "sum by (le) (tovar_gateway_request_duration_seconds_bucket)";
    let found = prometheus.query(query).await.unwrap();
    let mut edges: Vec<f64> = found
        .iter()
        .filter_map(|(series, _)| series["le"].as_str()?.parse().ok())
        .filter(|edge: &f64| edge.is_finite())
        .collect();
    edges.sort_by(f64::total_cmp);
    edges
}
