use std::{
    collections::HashMap, fs, future::Future, os::unix::fs::MetadataExt, sync::LazyLock,
    time::Duration,
};

use anyhow::Context;
use testcontainers::{
    bollard::{
        Docker, errors,
        query_parameters::{
            ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptions,
        },
    },
    core::client::docker_client_instance,
};
use tokio::runtime::{Builder, Runtime};

/// The engine's client is one for the process, and its connections end with the runtime that opened
/// them. Tests have a runtime each: all that talks to the engine runs on this one.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("docker")
        .enable_all()
        .build();
    runtime.expect("threads can be started")
});

/// Work for the engine, which goes on also when nobody waits for it any more.
pub fn spawn<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    RUNTIME.spawn(work)
}

pub async fn run<T: Send + 'static>(
    work: impl Future<Output = anyhow::Result<T>> + Send + 'static,
) -> anyhow::Result<T> {
    spawn(work).await?
}

/// The same from where nothing can be awaited.
pub fn run_blocking<T: Send + 'static>(
    work: impl Future<Output = anyhow::Result<T>> + Send + 'static,
) -> anyhow::Result<T> {
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    spawn(async move { sender.send(work.await) });
    receiver.recv().context("the work was cut off")?
}

/// The engine where the environment says, or at its usual place.
pub async fn client() -> anyhow::Result<Docker> {
    docker_client_instance().await.context("no Docker engine")
}

/// Whether an engine answers.
pub async fn is_reachable() -> bool {
    let ask = run(async { Ok(client().await?.ping().await?) });
    matches!(
        tokio::time::timeout(Duration::from_secs(3), ask).await,
        Ok(Ok(_))
    )
}

/// Label of a container: the process that it belongs to.
pub const OWNER: &str = "tovar.owner";
/// Label of a container: the volume with its kept data.
pub const DATA: &str = "tovar.data";

/// This process as nobody else is called: host and process namespace, process id, and when it
/// started.
pub fn owner() -> String {
    let pid = std::process::id();
    format!("{} {pid} {}", place(), born(pid).unwrap_or_default())
}

fn place() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let namespace = fs::metadata("/proc/self/ns/pid")
        .map(|namespace| namespace.ino())
        .unwrap_or_default();
    format!("{}/{namespace}", host.trim())
}

fn born(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The 22nd word, counted from the end of the second: see proc(5).
    stat.rsplit_once(") ")?
        .1
        .split(' ')
        .nth(19)
        .map(str::to_owned)
}

/// Whether this was a process of this machine that is gone. Of other machines' nothing is known,
/// nor of any where the kernel does not say when a process started.
fn is_dead(owner: &str) -> bool {
    if born(std::process::id()).is_none() {
        return false;
    }
    let Some(rest) = owner.strip_prefix(&place()) else {
        return false;
    };
    let [pid, since] = rest.split_whitespace().collect::<Vec<_>>()[..] else {
        return false;
    };
    pid.parse()
        .is_ok_and(|pid| born(pid).is_none_or(|born| born != since))
}

/// Removes containers whose owners are dead, and all on the volume `data`, which the caller has for
/// itself.
pub async fn sweep(data: Option<&str>) -> anyhow::Result<()> {
    let client = client().await?;
    let ours = HashMap::from([("label".to_owned(), vec![OWNER.to_owned()])]);
    let list = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&ours)
        .build();
    for container in client
        .list_containers(Some(list))
        .await
        .context("containers cannot be listed")?
    {
        let labels = container.labels.unwrap_or_default();
        let is_left_over = labels.get(OWNER).is_some_and(|owner| is_dead(owner))
            || data.is_some_and(|data| labels.get(DATA).is_some_and(|label| label == data));
        if let Some(id) = container.id.filter(|_| is_left_over) {
            remove(&client, &id).await?;
        }
    }
    Ok(())
}

/// Removes a container, whatever it does, with the volumes that nobody named.
pub async fn remove(client: &Docker, id: &str) -> anyhow::Result<()> {
    let force = RemoveContainerOptionsBuilder::new()
        .force(true)
        .v(true)
        .build();
    match client.remove_container(id, Some(force)).await {
        // Gone already, or somebody else is about it.
        Ok(())
        | Err(errors::Error::DockerResponseServerError {
            status_code: 404 | 409,
            ..
        }) => Ok(()),
        Err(error) => Err(error).context("the container cannot be removed"),
    }
}

/// Removes a volume and what still uses it; without an engine there is none.
pub fn forget_volume(name: String) -> anyhow::Result<()> {
    run_blocking(async move {
        if !is_reachable().await {
            return Ok(());
        }
        sweep(Some(&name)).await?;
        match client()
            .await?
            .remove_volume(&name, None::<RemoveVolumeOptions>)
            .await
        {
            Ok(())
            | Err(errors::Error::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(()),
            Err(error) => {
                Err(error).with_context(|| format!("the volume {name} cannot be removed"))
            }
        }
    })
}
