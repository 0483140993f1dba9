use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use tokio::process::Command;

use crate::{Progress, place::fnv1a};

/// Where fetched servers are kept: `TOVAR_CACHE`, else the user's cache. Root's own is closed to the user that
/// PostgreSQL must run as.
fn home() -> anyhow::Result<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let path = match (
        variable("TOVAR_CACHE"),
        variable("XDG_CACHE_HOME"),
        variable("HOME"),
    ) {
        (Some(own), ..) => own,
        _ if nix::unistd::geteuid().is_root() => PathBuf::from("/var/cache/tovar"),
        (None, Some(cache), _) => cache.join("tovar"),
        (None, None, Some(home)) => home.join(".cache/tovar"),
        _ => bail!("no folder for fetched servers; set TOVAR_CACHE to one"),
    };
    fs::create_dir_all(&path).with_context(|| {
        format!(
            "cannot make {}; set TOVAR_CACHE to another folder",
            path.display()
        )
    })?;
    Ok(path.canonicalize()?)
}

/// A folder of the cache that `fill` fills once, also if several of us want it at the same time.
pub async fn folder(
    name: &str,
    fill: impl AsyncFnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let home = home()?;
    let folder = home.join(name);
    if folder.exists() {
        return Ok(folder);
    }
    let lock = File::create(home.join(format!("{name}.lock")))?;
    let _locked = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
    if folder.exists() {
        return Ok(folder);
    }
    let draft = home.join(format!("{name}.draft"));
    if draft.exists() {
        fs::remove_dir_all(&draft)?;
    }
    fs::create_dir(&draft)?;
    fill(&draft).await?;
    // Also for the user that PostgreSQL runs as if we are root.
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(&draft))
        .await
        .context("chmod")?;
    fs::rename(&draft, &folder)?;
    Ok(folder)
}

/// Has Maven put artifacts (`group:artifact:version`), and all that they need, as jars into a folder of the cache.
/// Once they are there Maven is not asked again.
pub async fn jars(artifacts: &[&str], progress: Progress<'_>) -> anyhow::Result<PathBuf> {
    let list = artifacts.join(", ");
    let first = artifacts.first().context("artifacts are given")?;
    let name = format!("{}-{:08x}", first.replace(':', "-"), fnv1a(list.as_bytes()) >> 32);
    folder(&name, async |draft| {
        progress(&format!("fetching {list} with Maven (once)"));
        let dependencies: String = artifacts.iter().map(|one| dependency(one)).collect::<anyhow::Result<_>>()?;
        let pom = format!(
            "<project><modelVersion>4.0.0</modelVersion><groupId>tovar</groupId><artifactId>{name}</artifactId>\
             <version>1</version><dependencies>{dependencies}</dependencies></project>"
        );
        fs::write(draft.join("pom.xml"), pom)?;
        let mut maven = Command::new("mvn");
        maven.current_dir(draft).args(["-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=."]);
        run(&mut maven).await.with_context(|| {
            format!(
                "Maven did not fetch {list}. Install a Docker engine, or a JDK (17 or later) with Maven, such as \
                 Debian's packages default-jdk-headless and maven"
            )
        })
    })
    .await
}

fn dependency(artifact: &str) -> anyhow::Result<String> {
    let [group, name, version] = artifact.split(':').collect::<Vec<_>>()[..] else {
        bail!("{artifact} is not of the form group:artifact:version");
    };
    Ok(format!(
        "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
    ))
}

/// Runs a command to its good end; otherwise the error is what it said.
pub async fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.kill_on_drop(true).output().await?;
    if !output.status.success() {
        bail!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
