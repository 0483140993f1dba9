use clap::Args;

/// The addresses at which a process reaches PostgreSQL and Kafka.
#[derive(Clone, Debug, Args)]
pub struct ServerAddresses {
    /// In the environment, as each user of this machine may read arguments.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub url: String,
    pub brokers: String,
    pub prefix: String,
}
