use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use backing::{Postgres, PostgresOptions, ServerKind};
use connect::PostgresSettings;
use db::{Db, DbSettings};
use tokio::net::{TcpListener, TcpStream};

use crate::store::{Store, until};

/// After a crash PostgreSQL gives the ids of unflushed transactions to other ones. The relay must
/// not take these for transactions that it has seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_starts_from_its_saved_snapshot_after_a_database_crash() {
    let mut postgres = postgres_that_flushes_rarely().await;
    let servers = backing::shared().await.unwrap();
    let mut store = Store::on(&postgres, &servers.kafka, 1, &[]).await;
    let gate = Gate::open(postgres.port()).await;
    let mut settings = store.settings();
    settings.postgres = PostgresSettings::new(gate.url(&store.relay_url, postgres.port()));
    let _relay = outbox_relay::start(settings).await.unwrap();
    let mut topic = store.topic();

    // A checkpoint or the background writer may flush in between. Then no id is reused, and the
    // test tries again.
    for attempt in 0..10 {
        let before = store.publish("key", &format!("before {attempt}")).await;
        topic.until_has([before]).await;
        until("the cursor is saved", async || {
            store.unacknowledged().await == 0
        })
        .await;

        for _ in 0..200 {
            let wasted = "BEGIN; SELECT pg_current_xact_id(); ROLLBACK";
            store.client.batch_execute(wasted).await.unwrap();
        }
        let wasted_up_to = next_xid(&store).await;
        until_the_relay_has_polled(&store).await;

        gate.shut();
        postgres.stop_immediately().await.unwrap();
        postgres.start_again().await.unwrap();
        let name = store.url.rsplit_once('/').unwrap().1.to_owned();
        store.client = postgres.connect(&name).await.unwrap();
        store.db = Db::open(&DbSettings::new(&store.url), "test")
            .await
            .unwrap();
        let reused = next_xid(&store).await < wasted_up_to;
        let after = store.publish("key", &format!("after {attempt}")).await;
        let xid = store
            .number("SELECT max(xid)::text::bigint FROM outbox")
            .await;
        gate.unshut();
        topic.until_has([after]).await;
        if reused {
            assert!(
                xid < wasted_up_to,
                "the event's id is not one that was used before"
            );
            return;
        }
    }
    panic!("no crash gave ids of transactions to others");
}

async fn postgres_that_flushes_rarely() -> Postgres {
    let settings = vec![
        ("max_connections", "100"),
        ("wal_level", "minimal"),
        ("max_wal_senders", "0"),
        ("wal_writer_delay", "10s"),
        ("wal_writer_flush_after", "1GB"),
        ("autovacuum", "off"),
    ];
    let options = PostgresOptions {
        settings,
        ..PostgresOptions::default()
    };
    Postgres::start(ServerKind::detect().await.unwrap(), options, &|_| {})
        .await
        .unwrap()
}

async fn next_xid(store: &Store) -> i64 {
    store
        .number("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        .await
}

/// Waits until a poll of the log that began after now has ended.
async fn until_the_relay_has_polled(store: &Store) {
    let now: String = store
        .client
        .query_one("SELECT clock_timestamp()::text", &[])
        .await
        .unwrap()
        .get(0);
    let polled = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                  AND application_name = 'outbox-relay' AND state = 'idle'
                  AND query LIKE '%pg_current_snapshot()%'
                  AND query_start > $1::text::timestamptz";
    until("the relay has polled", async || {
        let row = store.client.query_one(polled, &[&now]).await.unwrap();
        row.get::<_, i64>(0) == 1
    })
    .await;
}

/// A TCP proxy of the database that can refuse new connections.
struct Gate {
    port: u16,
    is_shut: Arc<AtomicBool>,
}

impl Gate {
    async fn open(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_shut = Arc::new(AtomicBool::new(false));
        let shut = is_shut.clone();
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                if shut.load(Ordering::SeqCst) {
                    continue;
                }
                tokio::spawn(async move {
                    if let Ok(mut to) = TcpStream::connect(("127.0.0.1", to)).await {
                        let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                    }
                });
            }
        });
        Self { port, is_shut }
    }

    fn url(&self, url: &str, port: u16) -> String {
        url.replace(&format!(":{port}/"), &format!(":{}/", self.port))
    }

    /// Refuses new connections; open ones stay until the database ends them.
    fn shut(&self) {
        self.is_shut.store(true, Ordering::SeqCst);
    }

    fn unshut(&self) {
        self.is_shut.store(false, Ordering::SeqCst);
    }
}
