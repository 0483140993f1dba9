//! orders: orders, their timeline, the verdicts, and a copy of goods and prices.

mod consumers;
pub mod domain;
mod http;
mod metrics;
mod store;
mod streams;
mod sweeper;
mod usecases;

use std::time::Duration;

use actix_web::web::ServiceConfig;
use chrono::TimeDelta;
use db::{Db, Migrations};
use diesel_migrations::embed_migrations;
use inbox::Subscriptions;
use kernel::Currency;
use service_kit::{ProblemDoc, Service, StartContext};
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;

use crate::{domain::deadline::Patience, metrics::OrderMetrics, streams::Streams};

pub struct Orders;

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Orders")]
pub struct OrdersSettings {
    /// Seconds that an order may take for each step before its shipment
    #[arg(long, env = "DEADLINE_BEFORE_SHIPMENT", default_value_t = 120, value_parser = clap::value_parser!(i64).range(1..=3_153_600_000))]
    pub deadline_before_shipment: i64,

    /// Seconds within which the money of an order that does not go on must be settled
    #[arg(long, env = "DEADLINE_CLOSING", default_value_t = 120, value_parser = clap::value_parser!(i64).range(1..=3_153_600_000))]
    pub deadline_closing: i64,

    /// Seconds within which the goods of a failed delivery must be back
    #[arg(long, env = "DEADLINE_RETURNING", default_value_t = 120, value_parser = clap::value_parser!(i64).range(1..=3_153_600_000))]
    pub deadline_returning: i64,

    /// Seconds after the end of its slot within which a courier must report
    #[arg(long, env = "DEADLINE_COURIER", default_value_t = 3600, value_parser = clap::value_parser!(i64).range(1..=3_153_600_000))]
    pub deadline_courier: i64,

    /// Milliseconds between two looks for orders that are late
    #[arg(long, env = "SWEEP_EVERY", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    pub sweep_every: u64,

    /// Orders that can be watched live at the same time
    #[arg(long, env = "MAX_STREAMS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_streams: u32,

    /// Orders that one user can watch live at the same time
    #[arg(long, env = "MAX_STREAMS_PER_USER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_streams_per_user: u32,
}

#[derive(Clone)]
pub struct State {
    currency: Currency,
    patience: Patience,
    streams: Streams,
    sweep_every: Duration,
    metrics: OrderMetrics,
}

impl Service for Orders {
    const NAME: &'static str = "orders";
    const ABOUT: &'static str =
        "Orders, their timeline, the verdicts, and a copy of goods and prices.";
    const PUBLISHES: &'static [&'static str] = &[contracts::orders::TOPIC];
    const PROBLEMS: &'static [ProblemDoc] = http::PROBLEMS;
    const MIGRATIONS: Migrations = Migrations::new(embed_migrations!(), &store::RIGHTS);
    type Settings = OrdersSettings;
    type State = State;

    async fn state(context: StartContext<'_, OrdersSettings>) -> anyhow::Result<State> {
        let patience = Patience {
            before_shipment: TimeDelta::seconds(context.own.deadline_before_shipment),
            closing: TimeDelta::seconds(context.own.deadline_closing),
            returning: TimeDelta::seconds(context.own.deadline_returning),
            courier: TimeDelta::seconds(context.own.deadline_courier),
        };
        Ok(State {
            currency: context.kit.shop_currency,
            patience,
            streams: Streams::new(
                context.db.clone(),
                context.own.max_streams as usize,
                context.own.max_streams_per_user as usize,
            ),
            sweep_every: Duration::from_millis(context.own.sweep_every),
            metrics: OrderMetrics::register(context.registry),
        })
    }

    fn routes(config: &mut ServiceConfig) {
        http::routes(config);
    }

    fn openapi() -> utoipa::openapi::OpenApi {
        http::Api::openapi()
    }

    fn subscriptions() -> Subscriptions<State> {
        consumers::subscriptions()
    }

    async fn background(state: State, db: Db, stop: CancellationToken) {
        tokio::join!(
            state.streams.clone().run(stop.clone()),
            sweeper::run(&state, &db, stop)
        );
    }
}
