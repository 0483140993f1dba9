//! Looks for orders that are late, and does what follows.

use db::Db;
use kernel::cause_chain;
use tokio_util::sync::CancellationToken;

use crate::{State, usecases::sweep};

/// Sweeps until `stop`. Several replicas may do so at once.
pub async fn run(state: &State, db: &Db, stop: CancellationToken) {
    while stop
        .run_until_cancelled(tokio::time::sleep(state.sweep_every))
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
            Ok(open) => state.metrics.show(&open),
            Err(error) => tracing::warn!(error = cause_chain(&error), "orders cannot be counted"),
        }
    }
}
