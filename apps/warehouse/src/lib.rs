//! warehouse: goods and prices, stock, reservations, shipping.

mod consumers;
pub mod domain;
mod http;
mod state;
mod store;
mod usecases;

use actix_web::web::ServiceConfig;
use db::Migrations;
use diesel_migrations::embed_migrations;
use inbox::Subscriptions;
use service_kit::{NoSettings, ProblemDoc, Service, StartContext};
use utoipa::OpenApi;

pub use crate::state::State;

pub struct Warehouse;

impl Service for Warehouse {
    const NAME: &'static str = "warehouse";
    const ABOUT: &'static str = "Goods and prices, stock, reservations, shipping.";
    const PUBLISHES: &'static [&'static str] = &[contracts::warehouse::TOPIC];
    const PROBLEMS: &'static [ProblemDoc] = http::PROBLEMS;
    const MIGRATIONS: Migrations = Migrations::new(embed_migrations!(), &store::RIGHTS);
    type Settings = NoSettings;
    type State = State;

    async fn state(context: StartContext<'_, NoSettings>) -> anyhow::Result<State> {
        Ok(State {
            currency: context.kit.shop_currency,
        })
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
}
