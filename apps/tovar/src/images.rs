//! `cargo tovar images`: an image of each program, by the Dockerfile, and on to where they are to run.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, bail, ensure};
use tokio::process::Command;

use crate::{cargo, services::SERVICES};

#[derive(Clone, Debug, clap::Args)]
pub struct ImagesArgs {
    /// Tag of the images; the charts expect the default
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,

    /// What stands before an image's name, such as registry.example.org/shop
    #[arg(long, value_name = "PREFIX", default_value = "tovar")]
    prefix: String,

    /// Where to bring each image: kind, minikube, or a command that takes the image's name, such as "docker push"
    #[arg(long, value_name = "kind|minikube|COMMAND")]
    load: Option<String>,

    /// Pack the programs that were built into this folder, such as target/release, instead of compiling them in a container
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

/// Those that are no service.
const OTHERS: [&str; 2] = ["gateway", "topics"];

pub async fn images(args: ImagesArgs) -> anyhow::Result<()> {
    let root = workspace().await?;
    let mut made = Vec::new();
    for program in SERVICES.iter().map(|service| service.name).chain(OTHERS) {
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
    for image in made {
        println!("{image}");
    }
    Ok(())
}

fn build(args: &ImagesArgs, root: &Path, target: &str) -> anyhow::Result<Command> {
    let mut command = Command::new("docker");
    command.env("DOCKER_BUILDKIT", "1");
    // Docker shows how far it is, and why it fails.
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

/// The folder of the workspace, wherever in it we were called.
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
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let status = command
        .stdin(Stdio::null())
        // An image's digest; what is worth reading comes from us and on standard error.
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
