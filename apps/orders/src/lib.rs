//! orders: orders, their timeline, the verdicts, and a copy of goods and prices.

mod consumers;
pub mod domain;
mod http;
mod metrics;
mod state;
mod store;
mod streams;
mod sweeper;
mod usecases;

use actix_web::web::ServiceConfig;
use db::{Db, Migrations};
use diesel_migrations::embed_migrations;
use inbox::Subscriptions;
use service_kit::{ProblemDoc, Service, StartContext};
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;

pub use crate::state::{OrdersSettings, State};

pub struct Orders;

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
        Ok(State::new(
            context.own,
            context.kit.shop_currency,
            context.db,
            context.registry,
        ))
    }

    fn routes(config: &mut ServiceConfig) {
        http::routes(config);
    }

    fn openapi() -> utoipa::openapi::OpenApi {
        http::Api::openapi()
    }

    fn subscriptions() -> Subscriptions<State> {
        consumers::subscriptions(Self::NAME)
    }

    async fn background(state: State, db: Db, stop: CancellationToken) {
        tokio::join!(
            state.streams.clone().run(stop.clone()),
            sweeper::run(&state, &db, stop)
        );
    }
}
