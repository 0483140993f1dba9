use std::{env::VarError, fmt};

use anyhow::bail;

use crate::engine;

/// How servers are run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Means {
    Docker,
    Local,
}

impl Means {
    /// Docker if an engine answers, otherwise local processes. `TOVAR_BACKING=docker` or `local`
    /// decides it; an error for anything else in it.
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

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Docker => "Docker containers",
            Self::Local => "local processes",
        })
    }
}
