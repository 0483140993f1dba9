use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::domain::attention::Attention;

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// What only orders can count.
#[derive(Clone)]
pub struct OrderMetrics {
    attention: Family<Reason, Gauge>,
}

impl OrderMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            attention: Family::default(),
        };
        registry.register(
            "orders_needing_attention",
            "Orders that somebody must look at, by reason",
            metrics.attention.clone(),
        );
        metrics.need_attention(&Attention::ALL.map(|attention| (attention, 0)));
        metrics
    }

    pub fn need_attention(&self, counts: &[(Attention, i64)]) {
        for (attention, count) in counts {
            let reason = attention.as_str();
            self.attention.get_or_create_owned(&Reason { reason }).set(*count);
        }
    }
}
