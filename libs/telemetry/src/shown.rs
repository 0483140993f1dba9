use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric},
    registry::Unit,
};

/// Shows one metric of a collector, whose value is read when the metrics are asked for.
pub fn show(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    // The registry ends the help texts of registered metrics by a full stop, too.
    let encoder =
        encoder.encode_descriptor(name, &format!("{help}."), unit, metric.metric_type())?;
    metric.encode(encoder)
}
