//! Records what a store shows while something is broken, for the tests of the alerts:
//! `grafana/tests/outages/`.
//!
//! It is no test, and is run when metrics or rules change:
//! `cargo test -p tovar-tests --test it record_outages -- --ignored`

use std::{collections::BTreeSet, fmt::Write, fs, path::Path, time::Duration};

use backing::Postgres;
use chrono::{DateTime, Utc};
use kernel::Clock;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier},
    client::DefaultClientContext,
};
use tovar::client::{Client, wait_for};

use crate::harness::{Catalogue, Prometheus, Samples, Store, each};

/// A second of the recording is so many seconds of the test: an outage of half a minute becomes one
/// of minutes, as alerts know it.
const STRETCH: f64 = 15.0;
const BEFORE: Duration = Duration::from_secs(10);
const DURING: Duration = Duration::from_secs(25);

/// Times that grow while an outage lasts grow as much longer as it does.
const STRETCHED: [&str; 2] = [
    "tovar_outbox_oldest_age_seconds",
    "tovar_orders_oldest_unshipped_seconds",
];

fn grafana() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../grafana")
}

/// What of a pattern's occurrences in the rules begins with `prefix` and goes on as `part` says.
fn named_in_rules(prefix: &str, part: fn(char) -> bool) -> BTreeSet<String> {
    let rules = ["alerts.yaml", "slo.yaml"]
        .map(|file| fs::read_to_string(grafana().join("rules").join(file)).unwrap());
    let text = rules.concat();
    let found = text.match_indices(prefix).map(|(at, _)| {
        let rest = &text[at + prefix.len()..];
        rest[..rest.find(|c| !part(c)).unwrap_or(rest.len())].to_owned()
    });
    found.collect()
}

struct Recorder {
    prometheus: Prometheus,
    clock: Clock,
}

impl Recorder {
    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Writes what the rules look at, from a healthy moment on until now.
    async fn write(&self, outage: &str, since: DateTime<Utc>) {
        let mut text = format!(
            "# Recorded from a store by tests/it/outages.rs: {outage}. \
             One second there is {STRETCH} s here.\n\
             rule_files: [../../rules/alerts.yaml, ../../rules/slo.yaml]\n\
             evaluation_interval: 15s\ntests:\n  - name: {outage}\n    \
             interval: 15s\n    input_series:\n"
        );
        let edges = named_in_rules("le=\"", |c| c != '"');
        let (from, to) = (since.timestamp(), self.now().timestamp());
        for metric in named_in_rules("tovar_", |c| c.is_ascii_lowercase() || c == '_') {
            let metric = format!("tovar_{metric}");
            for Samples { series, values } in
                self.prometheus.samples(&metric, from, to).await.unwrap()
            {
                let labels = series.as_object().unwrap().iter();
                let labels: Vec<(&str, &str)> = labels
                    .filter(|(name, _)| !["__name__", "job", "revision"].contains(&name.as_str()))
                    .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
                    .collect();
                let is_edge = |le: &str| edges.contains(le);
                let is_silent = values.iter().flatten().all(|value| *value == 0.0)
                    && metric != "tovar_outbox_led";
                if is_silent
                    || labels
                        .iter()
                        .any(|(name, value)| *name == "le" && !is_edge(value))
                {
                    continue;
                }
                let labels: Vec<String> = labels
                    .iter()
                    .map(|(name, value)| format!("{name}=\"{value}\""))
                    .collect();
                let by = if STRETCHED.contains(&metric.as_str()) {
                    STRETCH
                } else {
                    1.0
                };
                let labels = labels.join(",");
                writeln!(
                    text,
                    "      - {{ series: '{metric}{{{labels}}}', values: '{}' }}",
                    written(&values, by)
                )
                .unwrap();
            }
        }
        let folder = grafana().join("tests/outages");
        fs::create_dir_all(&folder).unwrap();
        fs::write(
            folder.join(format!("{}.yaml", outage.replace(' ', "-"))),
            text,
        )
        .unwrap();
        println!("recorded: {outage}");
    }
}

/// In promtool's form. A series that ends is stale, as Prometheus marks it.
fn written(values: &[Option<f64>], by: f64) -> String {
    let mut was_there = false;
    let mut words: Vec<(String, usize)> = Vec::new();
    for value in values {
        let word = match value {
            Some(value) => {
                let rounded = (value * by * 1000.0).round() / 1000.0;
                rounded.to_string()
            }
            None if was_there => "stale".to_owned(),
            None => "_".to_owned(),
        };
        was_there = value.is_some();
        match words.last_mut() {
            Some((last, count)) if *last == word => *count += 1,
            _ => words.push((word, 0)),
        }
    }
    let words = words
        .into_iter()
        .map(|(word, more)| match (word.as_str(), more) {
            (_, 0) => word,
            ("_", more) => format!("_x{}", more + 1),
            ("stale", more) => format!("stale _x{more}"),
            (_, more) => format!("{word}x{more}"),
        });
    words.collect::<Vec<_>>().join(" ")
}

/// Has customers place orders without waiting for their ends.
async fn keep_ordering(catalogue: &Catalogue, customers: &[Client]) {
    let order = catalogue.order(1);
    let mut pace = tokio::time::interval(Duration::from_millis(300));
    for customer in customers.iter().cycle() {
        pace.tick().await;
        let _ = tokio::time::timeout(Duration::from_secs(2), customer.post("/api/orders", &order))
            .await;
    }
}

/// A disk that hangs most of the time.
async fn stutter(postgres: &Postgres) {
    loop {
        postgres.freeze().await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        postgres.thaw().await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until the metrics show nothing of an outage any more.
async fn recovered(prometheus: &Prometheus) {
    wait_for(
        "the store to recover",
        Duration::from_secs(120),
        async || {
            let troubled = "max(tovar_outbox_waiting) > 5 or max(tovar_relay_outage) == 1 \
                        or min(tovar_outbox_led) == 0 \
                        or sum(tovar_inbox_blocked_partitions) > 0 \
                        or max(tovar_invariant_violations) > 0 \
                        or max(tovar_orders_oldest_unshipped_seconds) > 5 \
                        or max(tovar_readings_age_seconds) > 3";
            Ok(prometheus.query(troubled).await?.is_empty())
        },
    )
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it records for minutes, and writes into grafana/tests/outages"]
async fn record_outages() {
    const OFTEN: &[&str] = &["--readings-every=500"];
    let mut kafka = backing::own_kafka().await.unwrap();
    let postgres = backing::own_postgres().await.unwrap();
    let mut store = Store::start_on_with(&postgres, &kafka, &each(OFTEN)).await;
    let prometheus = Prometheus::start(&store)
        .await
        .expect("Prometheus is installed");
    let recorder = Recorder {
        prometheus,
        clock: Clock::system(),
    };
    let catalogue = Catalogue::open(&store, 100_000, 100_000).await;
    let mut customers = Vec::new();
    for _ in 0..3 {
        customers.push(store.guest.new_customer(100_000_000).await.unwrap());
    }
    let while_ordering = async |time: Duration| {
        let _ = tokio::time::timeout(time, keep_ordering(&catalogue, &customers)).await;
    };
    while_ordering(BEFORE).await;

    let since = recorder.now();
    while_ordering(BEFORE).await;
    store.kill_relay("orders");
    while_ordering(DURING).await;
    recorder.write("a stopped relay", since).await;
    store.start_relay("orders").await;
    recorder.prometheus.follow(&store);
    recovered(&recorder.prometheus).await;

    let since = recorder.now();
    while_ordering(BEFORE).await;
    kafka.kill().await.unwrap();
    while_ordering(DURING).await;
    recorder.write("a stopped Kafka", since).await;
    kafka.start_again().await.unwrap();
    recovered(&recorder.prometheus).await;

    let since = recorder.now();
    while_ordering(BEFORE).await;
    tokio::select! {
        () = stutter(&postgres) => {}
        () = while_ordering(DURING) => {}
    }
    postgres.thaw().await.unwrap();
    recorder.write("a slow database", since).await;
    recovered(&recorder.prometheus).await;

    let since = recorder.now();
    while_ordering(BEFORE).await;
    let billing = store.sql("billing").await;
    let by_hand = "UPDATE accounts SET held = held + 1 WHERE user_id = (SELECT \
        min(user_id::text)::uuid FROM accounts)";
    assert_eq!(billing.execute(by_hand, &[]).await.unwrap(), 1);
    while_ordering(DURING).await;
    recorder.write("a broken invariant", since).await;
    assert_eq!(
        billing
            .execute(&by_hand.replace("+ 1", "- 1"), &[])
            .await
            .unwrap(),
        1
    );
    recovered(&recorder.prometheus).await;

    let since = recorder.now();
    while_ordering(BEFORE).await;
    // An operator deletes an event before it is sent: no service ever hears of the order.
    store.kill_relay("orders");
    let lost = catalogue.place(&customers[0], &catalogue.order(1)).await;
    let orders = store.sql("orders").await;
    assert_eq!(
        orders
            .execute("DELETE FROM outbox WHERE key = $1", &[&lost])
            .await
            .unwrap(),
        1
    );
    store.start_relay("orders").await;
    recorder.prometheus.follow(&store);
    while_ordering(DURING).await;
    recorder.write("a stuck saga", since).await;

    let since = recorder.now();
    while_ordering(BEFORE).await;
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", store.brokers())
        .create()
        .unwrap();
    let topic = format!("{}delivery", store.prefix);
    let limit = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("max.message.bytes", "100");
    let done = admin
        .alter_configs([&limit], &AdminOptions::new())
        .await
        .unwrap();
    assert!(done[0].is_ok(), "{done:?}");
    while_ordering(DURING).await;
    recorder.write("a refused event", since).await;
    // It has still much to be refused, one by one.
    store.kill_relay("delivery");
    store.end().await;
}
