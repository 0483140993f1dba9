use std::path::PathBuf;

use rand::{Rng, distr::Alphanumeric};

#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Folder that keeps the data between runs; `None`: they end with the server.
    pub data: Option<PathBuf>,
    /// Password of the superuser `postgres`. It is random by default; kept data need the one that
    /// they were created with.
    pub password: String,
    /// Settings that differ from the server's defaults.
    pub settings: Vec<(&'static str, &'static str)>,
    /// Image for containers; the default is `TOVAR_POSTGRES_IMAGE` or a fixed version.
    pub image: String,
}

/// The image unless the environment names another one.
const IMAGE: &str =
    "postgres:17.11@sha256:d74eeac9a635390a49bc21bd49fccd973de707e2a53a76ac49b552b8712ec46f";

fn random_password() -> String {
    let letters = rand::rng().sample_iter(Alphanumeric);
    letters.take(24).map(char::from).collect()
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            data: None,
            password: random_password(),
            settings: vec![("max_connections", "400")],
            image: std::env::var("TOVAR_POSTGRES_IMAGE").unwrap_or_else(|_| IMAGE.to_owned()),
        }
    }
}
