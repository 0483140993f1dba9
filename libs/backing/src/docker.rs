use std::{
    future::Future,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use futures_util::TryStreamExt;
use testcontainers::{
    ContainerAsync, ContainerRequest, GenericImage, ImageExt,
    bollard::{Docker, query_parameters as query},
    core::Mount,
    runners::AsyncRunner,
};

use crate::{
    data_folder::{free_port, name_of, remembered_port},
    engine,
    folder_lock::FolderLock,
    orphan_guard::tail,
    private,
};

type Request = ContainerRequest<GenericImage>;

/// A container that ends with this process: a shell reads from a pipe that only this process holds,
/// and removes the container when the pipe breaks. Without the command `docker` there is no such
/// shell, and the next start removes what was left over.
#[derive(Debug)]
pub struct Contained {
    container: Option<Arc<ContainerAsync<GenericImage>>>,
    _watcher: Option<Child>,
    _lock: Option<FolderLock>,
}

const WATCHER: &str = r#"read -r _; exec docker rm --force --volumes "$1" >/dev/null 2>&1"#;

/// Bounds the pull of an image and the start of its container.
const START_TIMEOUT: Duration = Duration::from_mins(10);

/// The data of a container: their folder inside of it, and the folder of this machine that they
/// belong to. `None`: they end with the container.
pub struct Data<'a> {
    pub inside: &'a str,
    pub of: Option<&'a Path>,
}

/// The Docker volume that belongs to a folder of this machine.
struct Volume {
    folder: PathBuf,
    name: String,
}

impl Volume {
    fn of(folder: &Path) -> anyhow::Result<Self> {
        private::folder(folder)?;
        let folder = folder.canonicalize()?;
        Ok(Self {
            name: name_of(&folder),
            folder,
        })
    }
}

impl Contained {
    /// Starts a container whose `port` is published at a port of 127.0.0.1, which `request` gets;
    /// returns that port too.
    pub async fn start(
        port: u16,
        data: Data<'_>,
        request: impl FnOnce(u16) -> Request,
    ) -> anyhow::Result<(Self, u16)> {
        let volume = data.of.map(Volume::of).transpose()?;
        let lock = match &volume {
            Some(volume) => Some(FolderLock::acquire(&volume.folder).await?),
            None => None,
        };
        let swept = volume.as_ref().map(|volume| volume.name.clone());
        // Before a port is chosen: a container that was left over may still have it.
        engine::run(async move { engine::sweep(swept.as_deref()).await }).await?;
        let published = match &volume {
            Some(volume) => remembered_port(&volume.folder, "docker-port")?,
            None => free_port()?,
        };
        let mut request = request(published)
            .with_mapped_port(published, port.into())
            .with_startup_timeout(START_TIMEOUT)
            .with_label(engine::OWNER, engine::owner())
            .with_host_config_modifier(|host| {
                // A stopped container must stay, so that it can be started again with its port and
                // data.
                host.auto_remove = Some(false);
                let ports = host
                    .port_bindings
                    .iter_mut()
                    .flat_map(|ports| ports.values_mut());
                for binding in ports.flatten().flatten() {
                    binding.host_ip = Some("127.0.0.1".to_owned());
                }
            });
        if let Some(volume) = volume {
            request = request
                .with_label(engine::DATA, &volume.name)
                .with_mount(Mount::volume_mount(volume.name, data.inside));
        }
        let start = async {
            request
                .start()
                .await
                .context("the container cannot be started")
        };
        let container = Arc::new(engine::run(start).await?);
        let watcher = Command::new("sh")
            .args(["-c", WATCHER, "sh", container.id()])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Ok((
            Self {
                container: Some(container),
                _watcher: watcher.ok(),
                _lock: lock,
            },
            published,
        ))
    }

    /// Runs `work` with the engine's client and the container's id.
    async fn with<T, F>(
        &self,
        work: impl FnOnce(Docker, String) -> F + Send + 'static,
    ) -> anyhow::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = anyhow::Result<T>> + Send,
    {
        let container = self
            .container
            .as_ref()
            .context("the container is removed")?;
        let id = container.id().to_owned();
        engine::run(async move { work(engine::client().await?, id).await }).await
    }

    /// Ends it without warning.
    pub async fn kill(&self) -> anyhow::Result<()> {
        self.with(async |client: Docker, id: String| {
            let kill = query::KillContainerOptionsBuilder::new()
                .signal("SIGKILL")
                .build();
            client
                .kill_container(&id, Some(kill))
                .await
                .context("the container cannot be killed")?;
            while is_running(&client, &id).await? {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        })
        .await
    }

    pub async fn start_again(&self) -> anyhow::Result<()> {
        self.with(async |client: Docker, id: String| {
            let start = client
                .start_container(&id, None::<query::StartContainerOptions>)
                .await;
            start.context("the container cannot be started again")
        })
        .await
    }

    pub async fn freeze(&self) -> anyhow::Result<()> {
        self.with(async |client: Docker, id: String| {
            client
                .pause_container(&id)
                .await
                .context("the container cannot be paused")
        })
        .await
    }

    pub async fn thaw(&self) -> anyhow::Result<()> {
        self.with(async |client: Docker, id: String| {
            client
                .unpause_container(&id)
                .await
                .context("the container cannot be resumed")
        })
        .await
    }

    /// The end of its log if it has ended.
    pub async fn last_words(&self) -> anyhow::Result<Option<String>> {
        self.with(async |client: Docker, id: String| {
            if is_running(&client, &id).await? {
                return Ok(None);
            }
            let all = query::LogsOptionsBuilder::new()
                .stdout(true)
                .stderr(true)
                .tail("20")
                .build();
            let lines: Vec<_> = client.logs(&id, Some(all)).try_collect().await?;
            let text: String = lines.iter().map(ToString::to_string).collect();
            Ok(Some(format!("its log ends with:\n{}", tail(&text))))
        })
        .await
    }

    /// Stops and removes it; its volume stays.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.with(async |client: Docker, id: String| {
            let stop = query::StopContainerOptionsBuilder::new().t(30).build();
            client
                .stop_container(&id, Some(stop))
                .await
                .context("the container cannot be stopped")?;
            engine::remove(&client, &id).await
        })
        .await?;
        self.release().await
    }

    /// Testcontainers removes the container when this handle is dropped, and needs its runtime for
    /// that.
    async fn release(&mut self) -> anyhow::Result<()> {
        if let Some(container) = self.container.take() {
            engine::spawn(async move { drop(container) }).await?;
        }
        Ok(())
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        if let Some(container) = self.container.take() {
            engine::spawn(async move { drop(container) });
        }
    }
}

async fn is_running(client: &Docker, id: &str) -> anyhow::Result<bool> {
    let found = client
        .inspect_container(id, None::<query::InspectContainerOptions>)
        .await?;
    Ok(found.state.and_then(|state| state.running).unwrap_or(false))
}

/// `name:tag`, where the name may hold a registry's port.
pub fn image(reference: &str) -> GenericImage {
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => GenericImage::new(name, tag),
        _ => GenericImage::new(reference, "latest"),
    }
}
