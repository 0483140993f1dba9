use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use crate::routes::Service;

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Forwarded {
    upstream: &'static str,
    status: &'static str,
}

#[derive(Clone)]
pub struct GatewayMetrics {
    requests: Family<Forwarded, Counter>,
}

const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "unreachable"];

impl GatewayMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
        };
        registry.register(
            "gateway_requests",
            "Requests by service and class of status",
            metrics.requests.clone(),
        );
        for service in Service::ALL {
            for status in CLASSES {
                metrics.requests.get_or_create_owned(&Forwarded {
                    upstream: service.name(),
                    status,
                });
            }
        }
        metrics
    }

    /// `status` is `None` where the service could not be reached.
    pub fn count(&self, service: Service, status: Option<u16>) {
        let status = status.map_or("unreachable", |status| {
            CLASSES[usize::from(status / 100).clamp(1, 5) - 1]
        });
        self.requests
            .get_or_create_owned(&Forwarded {
                upstream: service.name(),
                status,
            })
            .inc();
    }
}
