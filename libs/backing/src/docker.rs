use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use testcontainers::{
    ContainerAsync, ContainerRequest, GenericImage, ImageExt, core::client::docker_client_instance,
    runners::AsyncRunner,
};

/// Whether a Docker engine answers where the environment says, or at its usual place.
pub async fn is_reachable() -> bool {
    let usual = Path::new("/var/run/docker.sock").exists() || std::env::var_os("DOCKER_HOST").is_some();
    if !usual {
        return false;
    }
    let ask = async {
        let client = docker_client_instance().await.ok()?;
        client.ping().await.ok()
    };
    matches!(
        tokio::time::timeout(Duration::from_secs(3), ask).await,
        Ok(Some(_))
    )
}

/// A container that ends when we do: a shell beside us holds the other end of a pipe, and removes it when that breaks.
#[derive(Debug)]
pub struct Contained {
    container: Option<ContainerAsync<GenericImage>>,
    _watcher: Option<std::process::Child>,
}

const WATCHER: &str = "read -r _; docker rm --force --volumes \"$1\" >/dev/null 2>&1";

impl Contained {
    pub async fn start(request: ContainerRequest<GenericImage>) -> anyhow::Result<Self> {
        // A stopped container must stay, so that it can be started again with its port and data.
        let container = request
            .with_label("tovar", "backing")
            .with_host_config_modifier(|host| {
                host.auto_remove = Some(false);
                for bindings in host
                    .port_bindings
                    .iter_mut()
                    .flat_map(|ports| ports.values_mut())
                    .flatten()
                {
                    for binding in bindings {
                        binding.host_ip = Some("127.0.0.1".to_owned());
                    }
                }
            })
            .start()
            .await
            .context("the container cannot be started")?;
        use std::os::unix::process::CommandExt;
        let watcher = Command::new("sh")
            .args(["-c", WATCHER, "sh", container.id()])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Ok(Self {
            container: Some(container),
            _watcher: watcher.ok(),
        })
    }

    fn container(&self) -> &ContainerAsync<GenericImage> {
        self.container
            .as_ref()
            .expect("a container is there until it is removed")
    }

    pub async fn start_again(&self) -> anyhow::Result<()> {
        self.container()
            .start()
            .await
            .context("the container cannot be started again")
    }

    pub async fn stop(&self, grace: i32) -> anyhow::Result<()> {
        self.container()
            .stop_with_timeout(Some(grace))
            .await
            .context("the container cannot be stopped")
    }

    pub async fn freeze(&self) -> anyhow::Result<()> {
        self.container()
            .pause()
            .await
            .context("the container cannot be paused")
    }

    pub async fn thaw(&self) -> anyhow::Result<()> {
        self.container()
            .unpause()
            .await
            .context("the container cannot be resumed")
    }

    pub async fn remove(mut self) -> anyhow::Result<()> {
        match self.container.take() {
            Some(container) => container.rm().await.context("the container cannot be removed"),
            None => Ok(()),
        }
    }
}

/// `name:tag`, where the name may hold a registry's port.
pub fn image(reference: &str) -> GenericImage {
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => GenericImage::new(name, tag),
        _ => GenericImage::new(reference, "latest"),
    }
}

/// Removes a named volume. Without the client there can be none that we made.
pub fn remove_volume(name: &str) -> anyhow::Result<()> {
    let removed = Command::new("docker")
        .args(["volume", "rm", "--force", name])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    // No client or no engine: nothing to remove.
    drop(removed);
    Ok(())
}
