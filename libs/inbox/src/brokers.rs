//! Whether Kafka's client still knows a broker.
//!
//! An answer that names no broker makes librdkafka forget all it knows, those it was configured
//! with included, and with none left it has nobody to ask (its issue 5301). A cluster of one broker
//! gives such an answer while its controller takes it to be away. The client then stands still for
//! ever, without an error, and only a new one helps.

use std::sync::atomic::{AtomicU32, Ordering};

use rdkafka::Statistics;
use tokio::sync::Notify;

/// So many statistics in a row must say so: at a start there may be one without a broker.
const IN_A_ROW: u32 = 2;

/// What one client knows of brokers.
#[derive(Default)]
pub(crate) struct Brokers {
    looked_in_vain: AtomicU32,
    lost: Notify,
}

impl Brokers {
    pub fn see(&self, statistics: &Statistics) {
        // Others stand for a coordinator, wherever it may be.
        let is_broker = |source: &str| source == "learned" || source == "configured";
        if statistics
            .brokers
            .values()
            .any(|broker| is_broker(&broker.source))
        {
            self.looked_in_vain.store(0, Ordering::Relaxed);
        } else if self.looked_in_vain.fetch_add(1, Ordering::Relaxed) + 1 >= IN_A_ROW {
            self.lost.notify_one();
        }
    }

    /// Waits until the client has lost them all.
    pub async fn are_lost(&self) {
        self.lost.notified().await;
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
            brokers.see(seen);
            assert!(brokers.are_lost().now_or_never().is_none());
        }
        brokers.see(&coordinator);
        assert!(brokers.are_lost().now_or_never().is_some());
        brokers.see(&statistics(&["configured"]));
        assert!(brokers.are_lost().now_or_never().is_none());
    }
}
