//! delivery: zones, time slots, bookings, courier runs.

mod consumers;
pub mod domain;
mod http;
mod store;
mod usecases;

use actix_web::web::ServiceConfig;
use db::Migrations;
use diesel_migrations::embed_migrations;
use inbox::Subscriptions;
use kernel::Clock;
use service_kit::{Boot, NoSettings, ProblemDoc, Service};
use utoipa::OpenApi;

pub struct Delivery;

#[derive(Clone)]
pub struct State {
    clock: Clock,
}

impl Service for Delivery {
    const NAME: &'static str = "delivery";
    const ABOUT: &'static str = "Zones, time slots, bookings, courier runs.";
    const PUBLISHES: &'static [&'static str] = &[contracts::delivery::TOPIC];
    const PROBLEMS: &'static [ProblemDoc] = http::PROBLEMS;
    const MIGRATIONS: Migrations = embed_migrations!();
    type Settings = NoSettings;
    type State = State;

    async fn state(boot: Boot<'_, NoSettings>) -> anyhow::Result<State> {
        Ok(State {
            clock: boot.clock.clone(),
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
}
