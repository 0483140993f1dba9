use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::{Progress, data_folder::fnv1a};

/// Every jar that Maven may bring, as `sha256sum` prints it.
const KNOWN: &str = include_str!("jars.sha256");
/// The goal of Maven that copies jars, at a fixed version: otherwise Maven runs the latest one.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

/// The folder for fetched servers: `TOVAR_CACHE`, else the user's cache. For root it is a folder of
/// the system, as PostgreSQL runs as another user, who cannot enter root's own.
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

/// A folder of the cache, which `fill` fills once, also if several processes ask for it at the same
/// time.
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
    // If this process is root, PostgreSQL runs as another user, who must read it too.
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(&draft))
        .await
        .context("chmod")?;
    fs::rename(&draft, &folder)?;
    Ok(folder)
}

/// Lets Maven copy the jars of artifacts (`group:artifact:version`), and of all that they need,
/// into a folder of the cache. Later calls find the folder and do not run Maven.
pub async fn jars(artifacts: &[&str], progress: Progress<'_>) -> anyhow::Result<PathBuf> {
    let list = artifacts.join(", ");
    let first = artifacts.first().context("artifacts are given")?;
    let name = format!(
        "{}-{:08x}",
        first.replace(':', "-"),
        fnv1a(format!("{list}\n{KNOWN}").as_bytes()) >> 32
    );
    folder(&name, async |draft| {
        progress(&format!("fetching {list} with Maven (once)"));
        let dependencies: anyhow::Result<String> = artifacts
            .iter()
            .map(|artifact| dependency(artifact))
            .collect();
        let dependencies = dependencies?;
        let pom = format!(
            "<project><modelVersion>4.0.0</modelVersion>\
             <groupId>tovar</groupId><artifactId>{name}</artifactId>\
             <version>1</version><dependencies>{dependencies}</dependencies></project>"
        );
        fs::write(draft.join("pom.xml"), pom)?;
        let mut maven = Command::new("mvn");
        maven
            .current_dir(draft)
            .args(["-q", "-B", "--strict-checksums", COPY])
            .arg("-DoutputDirectory=.");
        run(&mut maven).await.with_context(|| {
            format!(
                "Maven did not fetch {list}. Install a Docker engine, or a JDK (17 or later) with \
                 Maven, such as \
                 Debian's packages default-jdk-headless and maven"
            )
        })?;
        check(draft, KNOWN)
    })
    .await
}

/// Refuses a jar whose hash the list does not have. Jars run with the rights of this user, so it
/// must not matter where they were fetched from.
fn check(folder: &Path, known: &str) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|end| end != "jar") {
            continue;
        }
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let found = format!("{:x}  {name}", Sha256::digest(fs::read(&path)?));
        if !known.lines().any(|line| line == found) {
            bail!(
                "{name} is not one that libs/backing/src/jars.sha256 knows, so it is not run; if \
                 it is meant, add this line there: \
                 {found}"
            );
        }
    }
    Ok(())
}

fn dependency(artifact: &str) -> anyhow::Result<String> {
    let [group, name, version] = artifact.split(':').collect::<Vec<_>>()[..] else {
        bail!("{artifact} is not of the form group:artifact:version");
    };
    Ok(format!(
        "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId>\
         <version>{version}</version></dependency>"
    ))
}

/// Runs a command until it ends; if it fails, the error is what it printed.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jar_that_is_not_in_the_list_is_not_run() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pom.xml"), "no jar").unwrap();
        fs::write(folder.path().join("one.jar"), "the right one").unwrap();
        let hash = format!("{:x}", Sha256::digest("the right one"));
        let known = format!("{hash}  one.jar\n{hash}  two.jar\n");
        check(folder.path(), &known).unwrap();
        fs::write(folder.path().join("two.jar"), "another one").unwrap();
        let said = check(folder.path(), &known).unwrap_err().to_string();
        assert!(
            said.contains("two.jar") && said.contains("is not run"),
            "{said}"
        );
        // A name that the list does not have, with bytes that it has.
        fs::rename(folder.path().join("one.jar"), folder.path().join("two.jar")).unwrap();
        check(folder.path(), &known).unwrap();
        check(folder.path(), &format!("{hash}  one.jar\n")).unwrap_err();
    }
}
