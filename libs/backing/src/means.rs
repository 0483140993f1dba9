use std::fmt;

use crate::engine;

/// How servers are run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Means {
    Docker,
    Local,
}

impl Means {
    /// Docker if an engine answers, otherwise local processes. `TOVAR_BACKING=docker` or `local` decides it.
    pub async fn detect() -> Self {
        match std::env::var("TOVAR_BACKING").as_deref() {
            Ok("docker") => Self::Docker,
            Ok("local") => Self::Local,
            _ if engine::is_reachable().await => Self::Docker,
            _ => Self::Local,
        }
    }
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Docker => "Docker containers",
            Self::Local => "local processes",
        })
    }
}
