//! More requests than there are database connections.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::StatusCode;
use tovar::client::Client;

use crate::harness::{Store, each};

/// A read of each service, and the table that it needs.
const READS: [(&str, &str, &str); 6] = [
    ("users", "/api/users/me", "users"),
    ("billing", "/api/account", "accounts"),
    ("orders", "/api/orders", "orders"),
    ("warehouse", "/api/goods", "goods"),
    ("delivery", "/api/zones", "zones"),
    ("notifications", "/api/notifications", "notifications"),
];

/// Waiting three times would make the queue three times as long.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_connection_in_vain_takes_no_second_turn() {
    const SETTINGS: &[&str] = &[
        "--database-pool-size=2",
        "--database-pool-timeout=1",
        "--rate-limit=0",
    ];
    let store = Store::start_with(&each(SETTINGS)).await;
    let customer = store.guest.new_customer(0).await.unwrap();
    for (service, path, table) in READS {
        let sql = store.sql(service).await;
        let lock = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
        sql.batch_execute(&lock).await.unwrap();
        let ask = async |customer: &Client| {
            let began = Instant::now();
            (customer.get(path).await.unwrap(), began.elapsed())
        };
        let asked = join_all((0..8).map(|_| ask(&customer)));
        let unlock = async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            sql.batch_execute("COMMIT").await.unwrap();
        };
        let (answers, ()) = tokio::join!(asked, unlock);
        let (served, refused): (Vec<_>, Vec<_>) = answers
            .into_iter()
            .partition(|(answer, _)| answer.status == StatusCode::OK);
        assert!(
            !served.is_empty() && refused.len() >= 4,
            "{service}: {refused:?}"
        );
        for (answer, took) in refused {
            assert_eq!(answer.code(), Some("database_unavailable"), "{service}");
            assert!(answer.retry_after().is_some(), "{service}");
            assert!(took < Duration::from_millis(2500), "{service}: {took:?}");
        }
    }
    store.end().await;
}
