//! The background task that finds late orders, and has them stopped or looked at.

use db::Db;
use kernel::cause_chain;
use tokio_util::sync::CancellationToken;

use crate::{state::State, usecases::sweep};

/// Sweeps at each interval until `stop`. Several replicas may do so at the same time.
pub async fn run(state: &State, db: &Db, stop: CancellationToken) {
    while stop
        .run_until_cancelled(tokio::time::sleep(state.sweep_interval))
        .await
        .is_some()
    {
        if let Err(error) = sweep::sweep(db, state).await {
            tracing::warn!(
                error = cause_chain(&error),
                "late orders cannot be looked for"
            );
            continue;
        }
        match sweep::count_open(db).await {
            Ok(open) => state.metrics.set_open(&open),
            Err(error) => tracing::warn!(error = cause_chain(&error), "orders cannot be counted"),
        }
    }
}
