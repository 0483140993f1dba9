use std::{env::VarError, fmt};

use anyhow::{Context, bail};

use crate::engine;

/// How servers are run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Means {
    Docker,
    Local,
}

impl Means {
    /// Docker if an engine answers, otherwise local processes. `TOVAR_BACKING=docker` or `local` decides it; an error for
    /// anything else in it.
    pub async fn detect() -> anyhow::Result<Self> {
        match std::env::var("TOVAR_BACKING").as_deref() {
            Ok("docker") => Ok(Self::Docker),
            Ok("local") => Ok(Self::Local),
            Ok("") | Err(VarError::NotPresent) if engine::is_reachable().await => Ok(Self::Docker),
            Ok("") | Err(VarError::NotPresent) => Ok(Self::Local),
            Ok(other) => bail!("TOVAR_BACKING is \"{other}\"; set it to docker or local, or leave it out"),
            Err(error) => Err(error).context("TOVAR_BACKING"),
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
