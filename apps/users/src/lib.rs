//! users: people, their passwords and roles, and the keys of access tokens.

pub mod domain;
mod hashing;
mod http;
mod settings;
mod state;
mod store;
mod usecases;

use std::sync::Arc;

use actix_web::web::ServiceConfig;
use chrono::TimeDelta;
use db::{Db, Migrations};
use diesel_migrations::embed_migrations;
use inbox::Subscriptions;
use service_kit::{OwnKeys, ProblemDoc, Service, StartContext};
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;

use crate::{
    domain::{attempts::Attempts, seal::Seal, session_life::SessionLife},
    hashing::PasswordHasher,
    usecases::{
        issue_token::{self, TokenIssuer},
        keep_tidy::keep_tidy,
        prepare_emails::prepare_emails,
    },
};
pub use crate::{settings::UsersSettings, state::State};

/// The service users.
pub struct Users;

impl Service for Users {
    const NAME: &'static str = "users";
    const ABOUT: &'static str = "People, their passwords and roles, and the keys of access tokens.";
    const PUBLISHES: &'static [&'static str] = &[contracts::users::TOPIC];
    const PROBLEMS: &'static [ProblemDoc] = http::PROBLEMS;
    const MIGRATIONS: Migrations = Migrations::new(embed_migrations!(), &store::RIGHTS);
    type Settings = UsersSettings;
    type State = State;

    async fn state(context: StartContext<'_, UsersSettings>) -> anyhow::Result<State> {
        let own = context.own;
        let hasher = PasswordHasher::new(own.password_hashes, own.password_queue)?;
        prepare_emails(context.db).await?;
        let lifetime = own.token_lifetime;
        let lifetime_max = context.kit.tokens.token_most_seconds;
        anyhow::ensure!(
            lifetime <= lifetime_max,
            "TOKEN_LIFETIME is {lifetime}, and a token of more than {lifetime_max} s is refused: \
             set TOKEN_MOST_SECONDS of every service to {lifetime} or more"
        );
        let policy = issue_token::policy(
            own.token_key_lifetime,
            own.token_key_ahead,
            own.token_lifetime,
        );
        let seal = Seal::new(&own.token_key_secret, own.token_key_secret_before.as_ref())
            .map_err(|_| anyhow::anyhow!("TOKEN_KEY_SECRET makes no key"))?;
        let clock = context.clock.clone();
        let issuer =
            TokenIssuer::load(context.db, &context.kit.tokens, policy, seal, clock).await?;
        if let (Some(email), Some(password)) =
            (&own.first_manager_email, &own.first_manager_password)
        {
            usecases::make_first_manager::make_first_manager(
                context.db,
                &hasher,
                context.security,
                email,
                password,
            )
            .await?;
        }
        Ok(State {
            hasher,
            attempts: Attempts::new(own.password_queue / 2),
            issuer: Arc::new(issuer),
            session_life: SessionLife {
                idle_max: TimeDelta::days(own.session_idle_days.into()),
                age_max: TimeDelta::days(own.session_days.into()),
            },
        })
    }

    fn routes(config: &mut ServiceConfig) {
        http::routes(config);
    }

    fn openapi() -> utoipa::openapi::OpenApi {
        http::Api::openapi()
    }

    fn subscriptions() -> Subscriptions<State> {
        Subscriptions::group(Self::NAME)
    }

    fn token_keys(state: &State) -> Option<OwnKeys> {
        let issuer = state.issuer.clone();
        Some(Arc::new(move || issuer.jwks()))
    }

    async fn background(state: State, db: Db, stop: CancellationToken) {
        tokio::join!(
            state.issuer.keep_rotating(&db, stop.clone()),
            keep_tidy(&db, stop)
        );
    }
}
