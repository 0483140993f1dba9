use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use tokio::time::Instant;

use crate::harness::Store;

async fn ready(ops: &str) -> Option<StatusCode> {
    let asked = reqwest::Client::new()
        .get(format!("{ops}/health/ready"))
        .timeout(Duration::from_secs(10));
    Some(asked.send().await.ok()?.status())
}

/// All replicas have the same database: what is slow for one is slow for all, and all of them would
/// be taken out.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_connections_are_all_at_work_is_ready() {
    let settings: &[&str] = &["--database-pool-size=2", "--database-pool-timeout=1"];
    let store = Store::start_with(&[("billing", settings)]).await;
    let customer = store.guest.new_customer(1_000).await.unwrap();
    let sql = store.sql("billing").await;
    sql.batch_execute("BEGIN; LOCK TABLE accounts")
        .await
        .unwrap();
    let slow = async || {
        let top_up = json!({ "amount": 1 });
        customer
            .post("/api/account/top-ups", &top_up)
            .await
            .unwrap()
    };
    let looks = async {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(8) {
            // A machine that is busy may answer late; what counts is that it does not say no.
            assert_ne!(
                ready(&store.ops["billing"]).await,
                Some(StatusCode::SERVICE_UNAVAILABLE)
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        sql.batch_execute("ROLLBACK").await.unwrap();
    };
    tokio::join!(slow(), slow(), slow(), looks);
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_its_database_is_not_ready_until_it_is_back() {
    let servers = backing::shared().await.unwrap();
    let postgres = backing::own_postgres().await.unwrap();
    let store = Store::start_on(&postgres, &servers.kafka).await;
    let ops = &store.ops["billing"];
    let until = async |wanted, within: u64| {
        let began = Instant::now();
        while ready(ops).await != Some(wanted) {
            assert!(
                began.elapsed() < Duration::from_secs(within),
                "not {wanted} within {within} s"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    until(StatusCode::OK, 5).await;
    // The server accepts connections, and answers nothing.
    postgres.freeze().await.unwrap();
    until(StatusCode::SERVICE_UNAVAILABLE, 20).await;
    postgres.thaw().await.unwrap();
    until(StatusCode::OK, 20).await;
    store.stop().await;
}
