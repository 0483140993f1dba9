use std::time::Duration;

use connect::{KafkaSecurity, KafkaSettings, Secret, SslMode};
use contracts::catalogue::TOPICS;
use futures_util::future::join_all;
use rdkafka::{
    ClientConfig,
    error::RDKafkaErrorCode,
    producer::{FutureProducer, FutureRecord},
};
use serde_json::json;
use tovar::services::SERVICES;

use crate::harness::{Catalogue, Secure, Store, greets};

#[tokio::test(flavor = "multi_thread")]
async fn a_store_works_on_servers_that_demand_tls_and_a_log_in() {
    let Some(servers) = Secure::start().await else {
        return;
    };
    postgres_is_reached_only_as_it_demands(&servers).await;
    an_address_gets_what_it_asks_for_or_an_error(&servers).await;
    kafka_is_reached_only_as_it_demands(&servers).await;

    let store = Store::start_secure(&servers).await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let order = catalogue.buy(&customer, &catalogue.order(3)).await;
    assert_eq!(order["status"], "delivered");
    let wanted =
        json!({ "available": 2_000, "held": 0, "stock": 7, "free": 4, "told": ["delivered"] });
    catalogue
        .expect(&store, &customer, &catalogue.slot, wanted)
        .await;

    let orders = store.sql("orders").await;
    let sessions = "SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl) FROM \
        pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'shop'";
    let sessions = orders.query_one(sessions, &[]).await.unwrap();
    let (safe, open): (i64, i64) = (sessions.get(0), sessions.get(1));
    // Each service and each relay has at least one.
    assert!(safe >= 12 && open == 0, "{safe} with TLS, {open} without");
    let report = store.verified().await;
    assert_eq!(
        report.outcome,
        tovar::verify::Outcome::Clean,
        "{}",
        report.text()
    );
    let prefix = store.prefix.clone();
    store.end().await;
    each_relay_writes_its_topic_and_nothing_else_does(&servers, &prefix).await;
}

async fn postgres_is_reached_only_as_it_demands(servers: &Secure) {
    use SslMode::{Disable, Prefer, Require, VerifyCa, VerifyFull};
    let (named, unnamed) = ("localhost", "127.0.0.1");
    let (ours, other) = (Some(servers.ca.as_path()), Some(servers.other_ca.as_path()));
    for (host, mode, ca, reached) in [
        (named, Disable, None, false),
        (named, Prefer, None, true),
        (named, Prefer, other, false),
        (named, Require, None, true),
        (unnamed, Require, None, true),
        (named, Require, ours, true),
        (named, Require, other, false),
        (named, VerifyCa, ours, true),
        (unnamed, VerifyCa, ours, true),
        (named, VerifyCa, other, false),
        (named, VerifyCa, None, false),
        (named, VerifyFull, ours, true),
        (unnamed, VerifyFull, ours, false),
        (named, VerifyFull, other, false),
        (named, VerifyFull, None, false),
    ] {
        let found = servers.reaches_postgres(host, mode, ca).await;
        assert_eq!(found, reached, "{mode:?} at {host} with {ca:?}");
    }
}

/// Connects by the parameters of an address alone.
async fn an_address_gets_what_it_asks_for_or_an_error(servers: &Secure) {
    let (named, unnamed) = ("localhost", "127.0.0.1");
    let (ca, other) = (servers.ca.display(), servers.other_ca.display());
    let full = format!("sslmode=verify-full&sslrootcert={ca}");
    for (host, parameters, reached) in [
        (named, String::new(), false),
        (named, "sslmode=disable".to_owned(), false),
        (named, "sslmode=allow".to_owned(), true),
        (named, "sslmode=prefer".to_owned(), true),
        (named, "sslmode=require".to_owned(), true),
        (named, format!("sslmode=require&sslrootcert={other}"), false),
        (unnamed, format!("sslmode=verify-ca&sslrootcert={ca}"), true),
        (
            named,
            format!("sslmode=verify-ca&sslrootcert={other}"),
            false,
        ),
        (named, "sslmode=verify-ca".to_owned(), false),
        (named, full.clone(), true),
        (unnamed, full, false),
    ] {
        let parameters = format!("options=--search_path%3Dpublic&{parameters}");
        let found = session(&servers.address(host, &parameters)).await;
        assert_eq!(
            found.ok(),
            reached.then_some((true, "public".to_owned())),
            "{parameters} at {host}"
        );
    }
}

/// Whether a session has TLS, and its search path.
async fn session(url: &str) -> anyhow::Result<(bool, String)> {
    let client = tovar::database::open(url).await?;
    let asked = "SELECT ssl, current_setting('search_path'), current_setting('synchronous_commit') \
        FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let row = client.query_one(asked, &[]).await?;
    assert_eq!(row.get::<_, &str>(2), "on");
    Ok((row.get(0), row.get(1)))
}

async fn kafka_is_reached_only_as_it_demands(servers: &Secure) {
    let right = servers.kafka("");
    let port = right.kafka_brokers.rsplit(':').next().unwrap().to_owned();
    let with = |change: &dyn Fn(&mut KafkaSettings)| {
        let mut settings = right.clone();
        change(&mut settings);
        settings
    };
    let cases = [
        ("all as it demands", right.clone(), true),
        (
            "no TLS",
            with(&|kafka| kafka.kafka_security = KafkaSecurity::Plaintext),
            false,
        ),
        (
            "a log-in without TLS",
            with(&|kafka| kafka.kafka_security = KafkaSecurity::SaslPlaintext),
            false,
        ),
        (
            "TLS without a log-in",
            with(&|kafka| kafka.kafka_security = KafkaSecurity::Ssl),
            false,
        ),
        (
            "a wrong password",
            with(&|kafka| kafka.kafka_sasl_password = Some(Secret::new("a guess"))),
            false,
        ),
        (
            "another authority",
            with(&|kafka| kafka.kafka_ca = Some(servers.other_ca.clone())),
            false,
        ),
        (
            "the system's authorities",
            with(&|kafka| kafka.kafka_ca = None),
            false,
        ),
        (
            "another name",
            with(&|kafka| kafka.kafka_brokers = format!("127.0.0.1:{port}")),
            false,
        ),
    ];
    // In parallel, because a refused connection tries until its time is up.
    let found = join_all(
        cases
            .iter()
            .map(async |(_, settings, _)| greets(settings).await),
    )
    .await;
    for ((what, _, reached), found) in cases.iter().zip(found) {
        assert_eq!(found, *reached, "{what}");
    }
}

/// A process that is broken into cannot speak for another one, and hears nothing that it does not
/// hear anyway.
async fn each_relay_writes_its_topic_and_nothing_else_does(servers: &Secure, prefix: &str) {
    for service in SERVICES {
        let relay = format!("{}-relay", service.name);
        for topic in TOPICS {
            let written = write(servers, prefix, &relay, topic).await;
            assert_eq!(
                written,
                service.topic == Some(topic),
                "{relay} writes {topic}"
            );
            let written = write(servers, prefix, service.name, topic).await;
            assert!(!written, "{} writes {topic}", service.name);
        }
    }
}

fn as_process(servers: &Secure, prefix: &str, process: &str) -> ClientConfig {
    let mut config = servers
        .connections(prefix)
        .kafka_as(process)
        .client_config("a test");
    config.set("log_level", "0");
    config
}

/// Whether a message is taken.
async fn write(servers: &Secure, prefix: &str, process: &str, topic: &str) -> bool {
    let producer: FutureProducer = as_process(servers, prefix, process).create().unwrap();
    let topic = format!("{prefix}{topic}");
    let message = FutureRecord::<str, str>::to(&topic)
        .key("key")
        .payload("{}");
    match producer.send(message, Duration::from_secs(10)).await {
        Ok(_) => true,
        Err((error, _)) => {
            let code = error.rdkafka_error_code();
            assert_eq!(
                code,
                Some(RDKafkaErrorCode::TopicAuthorizationFailed),
                "{process}, {topic}"
            );
            false
        }
    }
}
