use std::{future::Future, time::Duration};

/// Asks until the answer is yes.
pub async fn until<F: Future<Output = bool>>(what: &str, within: Duration, ask: impl Fn() -> F) {
    let deadline = tokio::time::Instant::now() + within;
    while !ask().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not within {within:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
