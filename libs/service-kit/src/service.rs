use std::future::Future;

use actix_web::web::ServiceConfig;
use db::{Db, Migrations};
use inbox::Subscriptions;
use kernel::Clock;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::{KitSettings, OwnKeys, ProblemDoc, SecurityLog};

/// A service as a table of contents: its settings, its routes, its subscriptions.
pub trait Service: Send + Sync + 'static {
    /// Name of the service, of its database and of its consumer group.
    const NAME: &'static str;
    /// One line for `--help`.
    const ABOUT: &'static str;
    /// The topics that it publishes to.
    const PUBLISHES: &'static [&'static str];
    /// The problem codes of its own errors, for the page that explains them.
    const PROBLEMS: &'static [ProblemDoc];
    /// Its tables, and the rights of each database role on them.
    const MIGRATIONS: Migrations;

    /// Settings beyond those that every service has; [`NoSettings`] if there are none.
    type Settings: clap::Args + Clone + Send + Sync;
    /// What its use cases and consumers share, besides the transaction.
    type State: Clone + Send + Sync + 'static;

    /// Makes the state, once at the start.
    fn state(
        context: StartContext<'_, Self::Settings>,
    ) -> impl Future<Output = anyhow::Result<Self::State>> + Send;
    fn routes(config: &mut ServiceConfig);
    fn openapi() -> utoipa::openapi::OpenApi;
    fn subscriptions() -> Subscriptions<Self::State>;

    /// The public keys of access tokens, for the service that signs the tokens. The others fetch
    /// the keys from it.
    fn token_keys(_state: &Self::State) -> Option<OwnKeys> {
        None
    }

    /// Background work that runs until `stop`.
    fn background(
        _state: Self::State,
        _db: Db,
        _stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// What a service's state is made from. The database is migrated and open.
pub struct StartContext<'b, S> {
    /// The service's own settings.
    pub own: &'b S,
    /// The settings that every service has.
    pub kit: &'b KitSettings,
    pub db: &'b Db,
    pub clock: &'b Clock,
    /// For what the service does without a request.
    pub security: &'b SecurityLog,
    /// For metrics of the service's own.
    pub registry: &'b mut Registry,
}

/// For a service without settings of its own.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct NoSettings {}
