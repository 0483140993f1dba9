//! users: people, their passwords and roles, and the keys of access tokens.

pub mod domain;
mod http;
mod store;
mod usecases;

use std::sync::Arc;

use actix_web::web::ServiceConfig;
use connect::Secret;
use db::Migrations;
use diesel_migrations::embed_migrations;
use inbox::Subscriptions;
use service_kit::{Boot, ProblemDoc, Service};
use utoipa::OpenApi;

use crate::{domain::passwords::Passwords, usecases::issue_token::TokenIssuer};

pub struct Users;

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Users")]
pub struct UsersSettings {
    /// E-mail address of the manager who is made at the first start
    #[arg(long, env = "FIRST_MANAGER_EMAIL")]
    pub first_manager_email: Option<String>,

    /// Password of the first manager, or file:/path of a file that holds it
    #[arg(long, env = "FIRST_MANAGER_PASSWORD", hide_env_values = true)]
    pub first_manager_password: Option<Secret>,

    /// Seconds for which an access token is valid
    #[arg(long, env = "TOKEN_LIFETIME", default_value_t = 3600, value_parser = clap::value_parser!(i64).range(1..=86_400))]
    pub token_lifetime: i64,

    /// Passwords that are hashed at the same time; each takes 19 MiB and one core
    #[arg(long, env = "PASSWORD_HASHES", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub password_hashes: u32,
}

#[derive(Clone)]
pub struct State {
    passwords: Arc<Passwords>,
    issuer: Arc<TokenIssuer>,
}

impl Service for Users {
    const NAME: &'static str = "users";
    const ABOUT: &'static str = "People, their passwords and roles, and the keys of access tokens.";
    const PUBLISHES: &'static [&'static str] = &[contracts::users::TOPIC];
    const PROBLEMS: &'static [ProblemDoc] = http::PROBLEMS;
    const MIGRATIONS: Migrations = embed_migrations!();
    type Settings = UsersSettings;
    type State = State;

    async fn state(boot: Boot<'_, UsersSettings>) -> anyhow::Result<State> {
        let passwords = Arc::new(Passwords::new(boot.own.password_hashes)?);
        let issuer = TokenIssuer::load(
            boot.db,
            &boot.kit.tokens,
            boot.own.token_lifetime,
            boot.clock.clone(),
        )
        .await?;
        if let (Some(email), Some(password)) =
            (&boot.own.first_manager_email, &boot.own.first_manager_password)
        {
            usecases::make_first_manager::make_first_manager(boot.db, &passwords, email, password).await?;
        }
        Ok(State {
            passwords,
            issuer: Arc::new(issuer),
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
}
