use std::future::Future;

use kernel::TraceParent;

tokio::task_local! {
    static CURRENT: TraceParent;
}

/// Runs `work` as a part of this trace.
pub async fn scope<F: Future>(trace: TraceParent, work: F) -> F::Output {
    CURRENT.scope(trace, work).await
}

/// The trace of the running task, if it has one.
pub fn current() -> Option<TraceParent> {
    CURRENT.try_with(|trace| *trace).ok()
}
