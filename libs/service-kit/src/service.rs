use std::future::Future;

use actix_web::web::ServiceConfig;
use db::{Db, Migrations};
use inbox::Subscriptions;
use kernel::Clock;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::{KitSettings, OwnKeys, ProblemDoc, SecurityLog};

/// A service as a table of contents: what it is set by, what it answers, what it listens to.
pub trait Service: Send + Sync + 'static {
    /// The service's name: of its database, its consumer group, its place behind the gateway.
    const NAME: &'static str;
    /// One line for `--help`.
    const ABOUT: &'static str;
    /// The topics that it publishes to.
    const PUBLISHES: &'static [&'static str];
    /// The codes of its own refusals, for the page that explains them.
    const PROBLEMS: &'static [ProblemDoc];
    /// Its tables, and what each role may do with them.
    const MIGRATIONS: Migrations;

    /// Settings beyond those that every service has; [`NoSettings`] if there are none.
    type Settings: clap::Args + Clone + Send + Sync;
    /// What its use cases and consumers have at hand beside the transaction.
    type State: Clone + Send + Sync + 'static;

    fn state(
        boot: Boot<'_, Self::Settings>,
    ) -> impl Future<Output = anyhow::Result<Self::State>> + Send;
    fn routes(config: &mut ServiceConfig);
    fn openapi() -> utoipa::openapi::OpenApi;
    fn subscriptions() -> Subscriptions<Self::State>;

    /// The public keys of access tokens, of the service that makes them; the others fetch them from
    /// it.
    fn token_keys(_state: &Self::State) -> Option<OwnKeys> {
        None
    }

    /// Work that goes on beside requests and events, until `stop`.
    fn background(
        _state: Self::State,
        _db: Db,
        _stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// What a service finds when it starts: its database is migrated and open.
pub struct Boot<'b, S> {
    pub own: &'b S,
    pub kit: &'b KitSettings,
    pub db: &'b Db,
    pub clock: &'b Clock,
    /// For what the service does by itself.
    pub security: &'b SecurityLog,
    /// For metrics of the service's own.
    pub registry: &'b mut Registry,
}

/// For a service without settings of its own.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct NoSettings {}
