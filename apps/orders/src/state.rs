//! The settings of orders, and what its use cases share.

use std::time::Duration;

use chrono::TimeDelta;
use db::Db;
use kernel::Currency;
use prometheus_client::registry::Registry;

use crate::{domain::deadline::TimeLimits, metrics::OrderMetrics, streams::Streams};

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Orders")]
pub struct OrdersSettings {
    /// Seconds that an order may take for each step before its shipment
    #[arg(
        long,
        env = "DEADLINE_BEFORE_SHIPMENT",
        default_value_t = 120,
        value_parser = clap::value_parser!(i64).range(1..=SECONDS_MAX)
    )]
    pub deadline_before_shipment: i64,

    /// Seconds within which the money of an order that does not go on must be settled
    #[arg(
        long,
        env = "DEADLINE_CLOSING",
        default_value_t = 120,
        value_parser = clap::value_parser!(i64).range(1..=SECONDS_MAX)
    )]
    pub deadline_closing: i64,

    /// Seconds within which the goods of a failed delivery must be back
    #[arg(
        long,
        env = "DEADLINE_RETURNING",
        default_value_t = 120,
        value_parser = clap::value_parser!(i64).range(1..=SECONDS_MAX)
    )]
    pub deadline_returning: i64,

    /// Seconds after the end of its slot within which a courier must report
    #[arg(
        long,
        env = "DEADLINE_COURIER",
        default_value_t = 3600,
        value_parser = clap::value_parser!(i64).range(1..=SECONDS_MAX)
    )]
    pub deadline_courier: i64,

    /// Milliseconds between two looks for orders that are late
    #[arg(
        long,
        env = "SWEEP_EVERY",
        default_value_t = 1000,
        value_parser = clap::value_parser!(u64).range(10..=3_600_000)
    )]
    pub sweep_every: u64,

    /// Orders that can be watched live at the same time
    #[arg(
        long,
        env = "MAX_STREAMS",
        default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    pub max_streams: u32,

    /// Orders that one user can watch live at the same time
    #[arg(
        long,
        env = "MAX_STREAMS_PER_USER",
        default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    pub max_streams_per_user: u32,
}

/// Bounds the deadlines in settings: 100 years, after which no order is of interest.
const SECONDS_MAX: i64 = 3_153_600_000;

/// What the use cases, the routes and the background tasks of orders share.
#[derive(Clone)]
pub struct State {
    /// The store's one currency.
    pub currency: Currency,
    pub time_limits: TimeLimits,
    pub streams: Streams,
    pub sweep_interval: Duration,
    pub metrics: OrderMetrics,
}

impl State {
    pub fn new(
        settings: &OrdersSettings,
        currency: Currency,
        db: &Db,
        registry: &mut Registry,
    ) -> Self {
        let time_limits = TimeLimits {
            before_shipment: TimeDelta::seconds(settings.deadline_before_shipment),
            closing: TimeDelta::seconds(settings.deadline_closing),
            returning: TimeDelta::seconds(settings.deadline_returning),
            courier: TimeDelta::seconds(settings.deadline_courier),
        };
        Self {
            currency,
            time_limits,
            streams: Streams::new(
                db.clone(),
                settings.max_streams as usize,
                settings.max_streams_per_user as usize,
            ),
            sweep_interval: Duration::from_millis(settings.sweep_every),
            metrics: OrderMetrics::register(registry),
        }
    }
}
