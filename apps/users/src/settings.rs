use connect::Secret;

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Users")]
pub struct UsersSettings {
    /// E-mail address of the first manager, who is made if there is no manager
    #[arg(long, env = "FIRST_MANAGER_EMAIL")]
    pub first_manager_email: Option<String>,

    /// Password of the first manager, or file:/path of a file that holds it. It can be used once
    #[arg(long, env = "FIRST_MANAGER_PASSWORD", hide_env_values = true)]
    pub first_manager_password: Option<Secret>,

    /// Secret under which the keys of access tokens are encrypted in the database, or file:/path:
    /// 32 random characters or more, the same for all replicas and restarts
    #[arg(long, env = "TOKEN_KEY_SECRET", hide_env_values = true)]
    pub token_key_secret: Secret,

    /// The former TOKEN_KEY_SECRET, while it is being replaced: keys that are encrypted under it
    /// are encrypted anew at the start
    #[arg(long, env = "TOKEN_KEY_SECRET_BEFORE", hide_env_values = true)]
    pub token_key_secret_before: Option<Secret>,

    /// Seconds for which an access token is valid
    #[arg(
        long,
        env = "TOKEN_LIFETIME",
        default_value_t = 600,
        value_parser = clap::value_parser!(i64).range(1..=86_400)
    )]
    pub token_lifetime: i64,

    /// Days after which a session ends if its refresh token is not used
    #[arg(
        long,
        env = "SESSION_IDLE_DAYS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u16).range(1..=365)
    )]
    pub session_idle_days: u16,

    /// Days after which a session ends in any case, since the password was typed in it
    #[arg(
        long,
        env = "SESSION_DAYS",
        default_value_t = 90,
        value_parser = clap::value_parser!(u16).range(1..=3_650)
    )]
    pub session_days: u16,

    /// Seconds after which a new token key replaces one
    #[arg(
        long,
        env = "TOKEN_KEY_LIFETIME",
        default_value_t = 7_776_000,
        value_parser = clap::value_parser!(i64).range(1..=3_153_600_000)
    )]
    pub token_key_lifetime: i64,

    /// Seconds for which a new token key is published before it signs
    #[arg(
        long,
        env = "TOKEN_KEY_AHEAD",
        default_value_t = 600,
        value_parser = clap::value_parser!(i64).range(0..=86_400)
    )]
    pub token_key_ahead: i64,

    /// Passwords that are hashed at the same time; each takes one core and 19 MiB
    #[arg(
        long,
        env = "PASSWORD_HASHES",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=64)
    )]
    pub password_hashes: u32,

    /// Passwords that may wait to be hashed; further requests are refused with 503. One network may
    /// have half of them
    #[arg(
        long,
        env = "PASSWORD_QUEUE",
        default_value_t = 32,
        value_parser = clap::value_parser!(u32).range(1..=1024)
    )]
    pub password_queue: u32,
}
