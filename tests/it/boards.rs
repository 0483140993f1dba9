use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use futures_util::future::join_all;
use serde_json::Value;
use tovar::{client::wait_for, prometheus::as_sent};

use crate::harness::{Catalogue, Prometheus, Store, each};

/// Every query of every board, by board, panel and number, as it is sent when all services and
/// objectives are chosen.
fn queries() -> BTreeMap<String, String> {
    let boards = Path::new(env!("CARGO_MANIFEST_DIR")).join("../grafana/boards");
    let mut queries = BTreeMap::new();
    for file in fs::read_dir(boards).unwrap() {
        let board: Value =
            serde_json::from_slice(&fs::read(file.unwrap().path()).unwrap()).unwrap();
        for panel in board["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let name = format!(
                    "{} / {} / {}",
                    board["title"], panel["title"], target["refId"]
                );
                let query = target["expr"].as_str().unwrap();
                let query = as_sent(query, "15s", "1m");
                assert!(
                    !query.contains('$'),
                    "{name} has a variable that nobody sets: {query}"
                );
                queries.insert(name + &format!(" ({})", panel["id"]), query);
            }
        }
    }
    assert!(queries.len() > 80, "{}", queries.len());
    queries
}

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_shows_something_while_the_store_is_under_load() {
    const OFTEN: &[&str] = &["--readings-every=500"];
    let store = Store::start_with(&each(OFTEN)).await;
    let Some(prometheus) = Prometheus::start(&store).await else {
        return store.stop().await;
    };
    let catalogue = Catalogue::open(&store, 100_000, 100_000).await;
    let customers =
        join_all((0..3).map(async |_| store.guest.new_customer(100_000_000).await.unwrap())).await;

    let mut silent = queries();
    let load = async {
        loop {
            for customer in &customers {
                catalogue.buy(customer, &catalogue.order(1)).await;
                catalogue
                    .buy(customer, &catalogue.order_to(1, "nowhere", &catalogue.slot))
                    .await;
            }
        }
    };
    let watch = async {
        let shown = wait_for(
            "every panel to show something",
            Duration::from_secs(120),
            async || {
                let mut still = BTreeMap::new();
                for (name, query) in &silent {
                    if !prometheus
                        .query(query)
                        .await?
                        .iter()
                        .any(|(_, value)| value.is_finite())
                    {
                        still.insert(name.clone(), query.clone());
                    }
                }
                silent = still;
                anyhow::ensure!(silent.is_empty(), "nothing in {silent:#?}");
                Ok(true)
            },
        );
        shown.await.unwrap();
        let firing = prometheus
            .query("ALERTS{alertstate=\"firing\"}")
            .await
            .unwrap();
        assert_eq!(firing, [], "a store under load is well");
    };
    tokio::select! {
        () = load => unreachable!("the load ends with the test"),
        () = watch => {}
    }
    store.stop().await;
}
