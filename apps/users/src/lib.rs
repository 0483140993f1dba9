//! users: people, their passwords and roles, and the keys of access tokens.

pub mod domain;
mod http;
mod store;
mod usecases;

use std::sync::Arc;

use actix_web::web::ServiceConfig;
use connect::Secret;
use db::{Db, Migrations};
use diesel_migrations::embed_migrations;
use inbox::Subscriptions;
use service_kit::{Boot, ProblemDoc, Service};
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;

use crate::{
    domain::{passwords::Passwords, turns::Turns},
    usecases::{
        issue_token::{self, TokenIssuer},
        keep_tidy::keep_tidy,
        prepare_emails::prepare_emails,
    },
};

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

    /// Seconds after which a token key is followed by a new one
    #[arg(long, env = "TOKEN_KEY_LIFETIME", default_value_t = 7_776_000, value_parser = clap::value_parser!(i64).range(1..=3_153_600_000))]
    pub token_key_lifetime: i64,

    /// Seconds for which a new token key is shown before it signs
    #[arg(long, env = "TOKEN_KEY_AHEAD", default_value_t = 600, value_parser = clap::value_parser!(i64).range(0..=86_400))]
    pub token_key_ahead: i64,

    /// Passwords that are hashed at the same time; each takes one core and 19 MiB
    #[arg(long, env = "PASSWORD_HASHES", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub password_hashes: u32,

    /// Passwords that wait to be hashed; who finds no place is told to come back. One network has half of them
    #[arg(long, env = "PASSWORD_QUEUE", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub password_queue: u32,
}

#[derive(Clone)]
pub struct State {
    passwords: Arc<Passwords>,
    turns: Arc<Turns>,
    issuer: Arc<TokenIssuer>,
}

impl Service for Users {
    const NAME: &'static str = "users";
    const ABOUT: &'static str = "People, their passwords and roles, and the keys of access tokens.";
    const PUBLISHES: &'static [&'static str] = &[contracts::users::TOPIC];
    const PROBLEMS: &'static [ProblemDoc] = http::PROBLEMS;
    const MIGRATIONS: Migrations = Migrations::new(embed_migrations!(), &store::RIGHTS);
    type Settings = UsersSettings;
    type State = State;

    async fn state(boot: Boot<'_, UsersSettings>) -> anyhow::Result<State> {
        let own = boot.own;
        let passwords = Passwords::new(own.password_hashes, own.password_queue)?;
        prepare_emails(boot.db).await?;
        let policy = issue_token::policy(own.token_key_lifetime, own.token_key_ahead, own.token_lifetime);
        let issuer = TokenIssuer::load(boot.db, &boot.kit.tokens, policy, boot.clock.clone()).await?;
        if let (Some(email), Some(password)) =
            (&boot.own.first_manager_email, &boot.own.first_manager_password)
        {
            usecases::make_first_manager::make_first_manager(boot.db, &passwords, email, password).await?;
        }
        Ok(State {
            passwords,
            turns: Turns::new(own.password_queue / 2),
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

    async fn background(state: State, db: Db, stop: CancellationToken) {
        tokio::join!(
            state.issuer.keep_rotating(&db, stop.clone()),
            keep_tidy(&db, stop)
        );
    }
}
