use std::{env::VarError, fmt};

use anyhow::bail;

use crate::engine;

/// How servers are run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ServerKind {
    Docker,
    Local,
}

impl ServerKind {
    /// `TOVAR_BACKING=docker` or `local` decides; without it Docker if an engine answers, otherwise
    /// local processes. An error for another value.
    pub async fn detect() -> anyhow::Result<Self> {
        match std::env::var("TOVAR_BACKING").as_deref() {
            Ok("docker") => Ok(Self::Docker),
            Ok("local") => Ok(Self::Local),
            Ok("") | Err(VarError::NotPresent) => Ok(if engine::is_reachable().await {
                Self::Docker
            } else {
                Self::Local
            }),
            Ok(_) | Err(VarError::NotUnicode(_)) => {
                bail!("TOVAR_BACKING must be docker or local; or leave it out")
            }
        }
    }
}

impl fmt::Display for ServerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Docker => "Docker containers",
            Self::Local => "local processes",
        })
    }
}
