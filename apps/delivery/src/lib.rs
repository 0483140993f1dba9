//! delivery: zones, time slots, bookings, courier runs.

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

pub struct Delivery;

impl Service for Delivery {
    const NAME: &'static str = "delivery";
    const ABOUT: &'static str = "Zones, time slots, bookings, courier runs.";
    const PUBLISHES: &'static [&'static str] = &[contracts::delivery::TOPIC];
    const PROBLEMS: &'static [ProblemDoc] = http::PROBLEMS;
    const MIGRATIONS: Migrations = Migrations::new(embed_migrations!(), &store::RIGHTS);
    type Settings = NoSettings;
    type State = State;

    async fn state(_: StartContext<'_, NoSettings>) -> anyhow::Result<State> {
        Ok(State)
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
