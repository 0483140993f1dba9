//! `cargo tovar images`: builds an image of each program with the Dockerfile, and brings it to
//! where it runs.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, bail, ensure};
use serde_json::json;
use tokio::process::Command;

use crate::{cargo, services::SERVICES};

#[derive(Clone, Debug, clap::Args)]
pub struct ImagesArgs {
    /// Tag of the images; the charts expect the default
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,

    /// What stands before an image's name, such as registry.example.org/shop; no registry answers
    /// to the default
    #[arg(long, value_name = "PREFIX", default_value = LOCAL)]
    prefix: String,

    /// Where to bring each image: kind, minikube, or a command that takes the image's name, such as
    /// "docker push"
    #[arg(long, value_name = "kind|minikube|COMMAND")]
    load: Option<String>,

    /// Where to write values for the charts with the prefix and the digest of each image, once it
    /// was pushed to a registry
    #[arg(long, value_name = "FILE", requires = "load")]
    values: Option<PathBuf>,

    /// Pack the programs that were built into this folder, such as target/release, instead of
    /// compiling them in a container
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["builder_image", "profile"])]
    from: Option<PathBuf>,

    /// Image that compiles; by default the one that the Dockerfile names
    #[arg(long, value_name = "IMAGE")]
    builder_image: Option<String>,

    /// Image that the programs are put onto; by default the one that the Dockerfile names
    #[arg(long, value_name = "IMAGE")]
    runtime_image: Option<String>,

    /// Cargo's profile: release or dev
    #[arg(long)]
    profile: Option<String>,
}

/// The default prefix, for images on this machine alone: no registry has this name.
const LOCAL: &str = "localhost/tovar";

/// Programs with an image that are no service.
const OTHERS: [&str; 2] = ["gateway", "topics"];

/// The program that each service's image contains too.
const RELAY: &str = "outbox-relay";

pub async fn images(args: ImagesArgs) -> anyhow::Result<()> {
    let root = workspace().await?;
    let mut made = Vec::new();
    let programs = SERVICES.iter().map(|service| service.name).chain(OTHERS);
    if let Some(folder) = &args.from {
        let within: Vec<&str> = programs.clone().chain([RELAY]).collect();
        let (root, folder) = (root.clone(), folder.clone());
        let write = move || sbom::Workspace::read(&root, cargo::command())?.write(&within, &folder);
        let written = tokio::task::spawn_blocking(write).await?;
        written.context("what the programs are made of cannot be written beside them")?;
    }
    for program in programs.clone() {
        let image = format!("{}/{program}:{}", args.prefix, args.tag);
        println!("→ {image}");
        let mut build = build(&args, &root, program)?;
        run(build.args(["--tag", &image]))
            .await
            .context("an image cannot be built; this needs a Docker engine with BuildKit")?;
        made.push(image);
    }
    if let Some(load) = &args.load {
        for image in &made {
            println!("→ {load} {image}");
            run(loader(load)?.arg(image)).await?;
        }
    }
    if let Some(file) = &args.values {
        let mut digests = BTreeMap::new();
        for (program, image) in programs.zip(&made) {
            digests.insert(program, digest_of(image).await?);
        }
        let image = json!({ "prefix": args.prefix, "tag": args.tag, "digests": digests });
        let values = json!({ "global": { "image": image } });
        std::fs::write(file, serde_json::to_vec_pretty(&values)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
        println!("→ {}", file.display());
    }
    for image in made {
        println!("{image}");
    }
    Ok(())
}

/// The digest of an image that was pushed to a registry.
async fn digest_of(image: &str) -> anyhow::Result<String> {
    let format = "{{range .RepoDigests}}{{println .}}{{end}}";
    let output = Command::new("docker")
        .args(["image", "inspect", "--format", format, image])
        .output()
        .await
        .context("docker cannot be run; is it installed?")?;
    let known = String::from_utf8(output.stdout)?;
    let digest = digest_in(&known, image);
    digest.with_context(|| format!("{image} has no digest: it was not pushed to a registry"))
}

/// The digest of this image in a list of `name@sha256:…`.
fn digest_in(list: &str, image: &str) -> Option<String> {
    let (name, _tag) = image.rsplit_once(':')?;
    let digests = list.lines().filter_map(|line| line.split_once('@'));
    let mut own = digests.filter(|(repository, _)| *repository == name);
    own.next().map(|(_, digest)| digest.to_owned())
}

fn build(args: &ImagesArgs, root: &Path, target: &str) -> anyhow::Result<Command> {
    let mut command = Command::new("docker");
    command.env("DOCKER_BUILDKIT", "1");
    // Docker's own output shows the progress and errors.
    command.args(["build", "--target", target, "--file"]);
    command.arg(root.join("Dockerfile"));
    let mut set = |name: &str, value: &str| {
        command.args(["--build-arg", &format!("{name}={value}")]);
    };
    if let Some(image) = &args.builder_image {
        set("BUILDER_IMAGE", image);
    }
    if let Some(image) = &args.runtime_image {
        set("RUNTIME_IMAGE", image);
    }
    if let Some(profile) = &args.profile {
        set("PROFILE", profile);
    }
    if let Some(folder) = &args.from {
        set("BINARIES", "packed");
        let program = folder.join(target);
        ensure!(
            program.is_file(),
            "there is no {}; build the programs first: cargo build --release --bins",
            program.display()
        );
        command.arg(folder);
    } else {
        command.arg(root);
    }
    Ok(command)
}

fn loader(load: &str) -> anyhow::Result<Command> {
    let words: Vec<&str> = match load {
        "kind" => vec!["kind", "load", "docker-image"],
        "minikube" => vec!["minikube", "image", "load"],
        other => other.split_whitespace().collect(),
    };
    let (program, arguments) = words.split_first().context("--load is empty")?;
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

/// The folder of the workspace, from any folder in it.
async fn workspace() -> anyhow::Result<PathBuf> {
    let output = Command::from(cargo::command())
        .args(["locate-project", "--workspace", "--message-format", "plain"])
        .output()
        .await
        .context("cargo cannot be run; is Rust installed?")?;
    let manifest = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    let root = manifest.parent().context("no workspace here")?;
    ensure!(
        root.join("Dockerfile").is_file(),
        "{} has no Dockerfile; call this in a clone of the store",
        root.display()
    );
    Ok(root.to_owned())
}

async fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = command
        .as_std()
        .get_program()
        .to_string_lossy()
        .into_owned();
    let status = command
        .stdin(Stdio::null())
        // Docker prints only an image's digest there.
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .with_context(|| format!("{name} cannot be run; is it installed?"))?;
    if !status.success() {
        bail!("{name} ended with {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_s_digest_is_the_one_of_its_own_registry() {
        let list = "elsewhere.example.org/shop/users@sha256:1\n\
                    registry.example.org:5000/shop/users@sha256:2\n";
        let found = digest_in(list, "registry.example.org:5000/shop/users:0.1.0");
        assert_eq!(found.as_deref(), Some("sha256:2"));
        assert_eq!(digest_in(list, "localhost/tovar/users:0.1.0"), None);
    }
}
