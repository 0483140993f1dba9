use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use tokio::process::Command;

use crate::{Progress, cache};

/// PostgreSQL's binaries with the libraries that they need, from Maven.
const MAVEN_GROUP: &str = "io.zonky.test.postgres";
const MAVEN_VERSION: &str = "17.11.0";

/// The folder with `initdb` and `postgres`: `TOVAR_POSTGRES_BIN` (or `maven` for Maven's), the
/// PATH, Debian's newest, or Maven's.
pub async fn find(progress: Progress<'_>) -> anyhow::Result<PathBuf> {
    if let Some(own) = env::var_os("TOVAR_POSTGRES_BIN") {
        if own == "maven" {
            return from_maven(progress).await;
        }
        let own = PathBuf::from(own);
        return if is_complete(&own) {
            Ok(own)
        } else {
            bail!(
                "TOVAR_POSTGRES_BIN={} has no initdb and postgres",
                own.display()
            )
        };
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).filter_map(|folder| {
        // The target of a link lies beside the server's other parts.
        folder
            .join("postgres")
            .canonicalize()
            .ok()?
            .parent()
            .map(Path::to_owned)
    });
    let mut debians: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .collect();
    debians.sort_by_key(|folder| std::cmp::Reverse(version_of(folder)));
    match on_path.chain(debians).find(|folder| is_complete(folder)) {
        Some(folder) => Ok(folder),
        None => from_maven(progress).await,
    }
}

fn version_of(folder: &Path) -> u32 {
    let version = folder
        .parent()
        .and_then(Path::file_name)
        .and_then(|name| name.to_str());
    version
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}

fn is_complete(folder: &Path) -> bool {
    ["initdb", "postgres"]
        .iter()
        .all(|program| folder.join(program).is_file())
}

/// Fetches and unpacks the binaries, once.
async fn from_maven(progress: Progress<'_>) -> anyhow::Result<PathBuf> {
    let arch = match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64v8",
        other => {
            bail!("no PostgreSQL for {other} in Maven; install PostgreSQL, or a Docker engine")
        }
    };
    let name = format!("embedded-postgres-binaries-linux-{arch}");
    let tree = cache::folder(&format!("postgres-{MAVEN_VERSION}-{arch}"), async |draft| {
        let jars = cache::jars(
            &[&format!("{MAVEN_GROUP}:{name}:{MAVEN_VERSION}")],
            progress,
        )
        .await?;
        let jar = jars.join(format!("{name}-{MAVEN_VERSION}.jar"));
        cache::run(Command::new("jar").current_dir(draft).arg("xf").arg(&jar))
            .await
            .context("the JDK's jar")?;
        let inside = std::fs::read_dir(draft)?
            .flatten()
            .map(|entry| entry.path());
        let archive = inside
            .into_iter()
            .find(|path| path.extension().is_some_and(|extension| extension == "txz"));
        let archive = archive.context("the jar holds no .txz")?;
        let mut tar = Command::new("tar");
        tar.arg("-xJf").arg(&archive).arg("-C").arg(draft);
        cache::run(&mut tar)
            .await
            .context("tar with xz cannot unpack it; install xz-utils")?;
        Ok(std::fs::remove_file(archive)?)
    })
    .await?;
    Ok(tree.join("bin"))
}
