//! The store in a Kubernetes cluster, by its chart: installed, used, upgraded and rolled back under
//! load, drained, cut off from what it must not reach, and with a pod of each kind killed. Any
//! cluster that KUBECONFIG names, with the images in it:
//!
//! ```sh
//! cargo tovar images --load kind
//! tests/cluster/next-version cargo tovar images --tag next --load kind
//! cargo test -p tovar-tests --test cluster -- --ignored --nocapture
//! ```
//!
//! `TOVAR_CLUSTER_VALUES` names a file with values for the chart, such as images of PostgreSQL and
//! Kafka; `TOVAR_CLUSTER_STEPS` some of the steps `demo,policies,drained,upgraded,killed`, instead
//! of all; with `TOVAR_CLUSTER_KEEP` the release stays.

mod drained;
mod killed;
mod load;
mod policies;
mod release;
mod upgraded;

use std::time::Duration;

use anyhow::ensure;
use tovar::{
    client::wait_for,
    demo,
    store_file::StoreFile,
    verify::{self, Outcome, Sources},
};

use crate::{load::Load, release::Release};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kubernetes cluster that has the store's images"]
async fn the_store_runs_in_a_cluster() -> anyhow::Result<()> {
    let release = Release::install().await?;
    let played = play(&release).await;
    if played.is_err() {
        release.say_what_is_wrong().await;
    }
    release.remove().await?;
    played
}

async fn play(release: &Release) -> anyhow::Result<()> {
    let connection = release.connect().await?;
    let store = &connection.store;

    if wanted("demo") {
        release.step("the demo, through the gateway");
        demo::play(store).await?;
    }
    if wanted("policies") {
        release.step("every NetworkPolicy");
        policies::check(release).await?;
    }
    if wanted("drained") {
        release.step("a service with rows in its outbox is stopped");
        drained::check(release, store).await?;
    }
    if wanted("upgraded") {
        release.step("an upgrade across a migration, and back, under load");
        let load = Load::start(store).await?;
        upgraded::there_and_back(release, store).await?;
        let report = load.stop("upgraded and rolled back").await?;
        // Not even one that its sender would have sent again.
        let errors = &report["sources"]["locust"]["errors"];
        ensure!(errors == 0, "{errors} requests were answered with 5xx");
        settled(release, store).await?;
    }
    if wanted("killed") {
        release.step("a pod of each kind is killed, under load");
        let load = Load::start(store).await?;
        killed::each(release).await?;
        load.stop("a pod of each kind killed").await?;
        settled(release, store).await?;
    }
    release.step("done");
    Ok(())
}

fn wanted(step: &str) -> bool {
    let chosen = std::env::var("TOVAR_CLUSTER_STEPS");
    chosen.map_or(true, |chosen| chosen.split(',').any(|one| one == step))
}

async fn settled(release: &Release, store: &StoreFile) -> anyhow::Result<()> {
    release.step("verify");
    let sources = Sources::of(store, 24);
    // A forward to a pod that was killed fails only when it is used, and is then replaced.
    wait_for("verify to be clean", Duration::from_secs(180), async || {
        let report = verify::settled(&sources, Duration::from_secs(60)).await?;
        ensure!(report.outcome == Outcome::Clean, "{}", report.text());
        Ok(true)
    })
    .await
}
