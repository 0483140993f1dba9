//! users: people, their passwords and roles, and the keys of access tokens.

pub mod domain;
mod http;
mod store;
mod usecases;

use std::sync::Arc;

use actix_web::web::ServiceConfig;
use chrono::TimeDelta;
use connect::Secret;
use db::{Db, Migrations};
use diesel_migrations::embed_migrations;
use inbox::Subscriptions;
use service_kit::{Boot, OwnKeys, ProblemDoc, Service};
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;

use crate::{
    domain::{passwords::Passwords, seal::Seal, session_life::SessionLife, turns::Turns},
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
    /// E-mail address of the manager who is made when there is none
    #[arg(long, env = "FIRST_MANAGER_EMAIL")]
    pub first_manager_email: Option<String>,

    /// Password of the first manager, or file:/path of a file that holds it. It makes one once:
    /// after that it is used up
    #[arg(long, env = "FIRST_MANAGER_PASSWORD", hide_env_values = true)]
    pub first_manager_password: Option<Secret>,

    /// Secret under which the keys of access tokens are encrypted in the database, or file:/path:
    /// 32 random characters or more, the same for all replicas and restarts
    #[arg(long, env = "TOKEN_KEY_SECRET", hide_env_values = true)]
    pub token_key_secret: Secret,

    /// The TOKEN_KEY_SECRET before, while it is being replaced: what it encrypted is encrypted anew
    /// at the start
    #[arg(long, env = "TOKEN_KEY_SECRET_BEFORE", hide_env_values = true)]
    pub token_key_secret_before: Option<Secret>,

    /// Seconds for which an access token is valid
    #[arg(long, env = "TOKEN_LIFETIME", default_value_t = 600, value_parser = clap::value_parser!(i64).range(1..=86_400))]
    pub token_lifetime: i64,

    /// Days after which a session ends whose refresh token is not used
    #[arg(long, env = "SESSION_IDLE_DAYS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=365))]
    pub session_idle_days: u16,

    /// Days after which a session ends in any case, counted from when the password was typed in it
    #[arg(long, env = "SESSION_DAYS", default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=3_650))]
    pub session_days: u16,

    /// Seconds after which a token key is followed by a new one
    #[arg(long, env = "TOKEN_KEY_LIFETIME", default_value_t = 7_776_000, value_parser = clap::value_parser!(i64).range(1..=3_153_600_000))]
    pub token_key_lifetime: i64,

    /// Seconds for which a new token key is shown before it signs
    #[arg(long, env = "TOKEN_KEY_AHEAD", default_value_t = 600, value_parser = clap::value_parser!(i64).range(0..=86_400))]
    pub token_key_ahead: i64,

    /// Passwords that are hashed at the same time; each takes one core and 19 MiB
    #[arg(long, env = "PASSWORD_HASHES", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub password_hashes: u32,

    /// Passwords that wait to be hashed; who finds no place is told to come back. One network has
    /// half of them
    #[arg(long, env = "PASSWORD_QUEUE", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub password_queue: u32,
}

#[derive(Clone)]
pub struct State {
    passwords: Arc<Passwords>,
    turns: Arc<Turns>,
    issuer: Arc<TokenIssuer>,
    session_life: SessionLife,
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
        let (lifetime, most) = (own.token_lifetime, boot.kit.tokens.token_most_seconds);
        anyhow::ensure!(
            lifetime <= most,
            "TOKEN_LIFETIME is {lifetime}, and a token of more than {most} s is refused: set TOKEN_MOST_SECONDS of every service to \
             {lifetime} or more"
        );
        let policy = issue_token::policy(
            own.token_key_lifetime,
            own.token_key_ahead,
            own.token_lifetime,
        );
        let seal = Seal::new(&own.token_key_secret, own.token_key_secret_before.as_ref())
            .map_err(|_| anyhow::anyhow!("TOKEN_KEY_SECRET makes no key"))?;
        let issuer =
            TokenIssuer::load(boot.db, &boot.kit.tokens, policy, seal, boot.clock.clone()).await?;
        if let (Some(email), Some(password)) = (
            &boot.own.first_manager_email,
            &boot.own.first_manager_password,
        ) {
            usecases::make_first_manager::make_first_manager(
                boot.db,
                &passwords,
                boot.security,
                email,
                password,
            )
            .await?;
        }
        Ok(State {
            passwords,
            turns: Turns::new(own.password_queue / 2),
            issuer: Arc::new(issuer),
            session_life: SessionLife {
                unused: TimeDelta::days(own.session_idle_days.into()),
                longest: TimeDelta::days(own.session_days.into()),
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
