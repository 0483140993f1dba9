//! Notices when Kafka's client knows no broker any more.
//!
//! An answer that names no broker makes librdkafka forget all brokers that it knows, and those that
//! it was configured with. Then it has no broker left to ask (librdkafka issue 5301). A cluster of
//! one broker gives such an answer while its controller takes the broker to be away. The client
//! then stands still without an error, and only a new client helps.

use std::sync::atomic::{AtomicU32, Ordering};

use rdkafka::Statistics;
use tokio::sync::Notify;

/// So many statistics in a row must show no broker before they count as lost: at its start a client
/// may give one without a broker.
const EMPTY_STATISTICS_BEFORE_LOST: u32 = 2;

/// The brokers that one client knows.
#[derive(Default)]
pub(crate) struct Brokers {
    empty_statistics: AtomicU32,
    on_lost: Notify,
}

impl Brokers {
    pub fn observe(&self, statistics: &Statistics) {
        // A broker of another source stands for the group's coordinator, and has no address.
        let is_broker = |source: &str| source == "learned" || source == "configured";
        if statistics
            .brokers
            .values()
            .any(|broker| is_broker(&broker.source))
        {
            self.empty_statistics.store(0, Ordering::Relaxed);
        } else if self.empty_statistics.fetch_add(1, Ordering::Relaxed) + 1
            >= EMPTY_STATISTICS_BEFORE_LOST
        {
            self.on_lost.notify_one();
        }
    }

    /// Waits until the client has lost all brokers.
    pub async fn lost(&self) {
        self.on_lost.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rdkafka::statistics::Broker;

    use super::*;

    fn statistics(sources: &[&str]) -> Statistics {
        let brokers = sources.iter().map(|source| {
            let broker = Broker {
                source: (*source).to_owned(),
                ..Broker::default()
            };
            ((*source).to_owned(), broker)
        });
        Statistics {
            brokers: brokers.collect(),
            ..Statistics::default()
        }
    }

    #[test]
    fn brokers_are_lost_when_only_the_coordinator_is_left_for_a_while() {
        let brokers = Brokers::default();
        let coordinator = statistics(&["logical"]);
        for seen in [
            &coordinator,
            &statistics(&["logical", "learned"]),
            &coordinator,
        ] {
            brokers.observe(seen);
            assert!(brokers.lost().now_or_never().is_none());
        }
        brokers.observe(&coordinator);
        assert!(brokers.lost().now_or_never().is_some());
        brokers.observe(&statistics(&["configured"]));
        assert!(brokers.lost().now_or_never().is_none());
    }
}
