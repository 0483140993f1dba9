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

/// The runtime for all work with the engine. A process has one client of the engine, whose
/// connections end with the runtime that opened them, and each test has a runtime of its own.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("docker")
        .enable_all()
        .build();
    runtime.expect("threads can be started")
});

/// Starts work for the engine. It goes on also when its handle is dropped.
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

/// The same for code that is not async.
pub fn run_blocking<T: Send + 'static>(
    work: impl Future<Output = anyhow::Result<T>> + Send + 'static,
) -> anyhow::Result<T> {
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    spawn(async move { sender.send(work.await) });
    receiver.recv().context("the work was cut off")?
}

/// A client of the engine at the address that the environment names, or at the usual one.
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

/// A name for this process that no other one has: host and process namespace, process id, and when
/// it started.
pub fn owner() -> String {
    let pid = std::process::id();
    format!(
        "{} {pid} {}",
        machine(),
        started_at(pid).unwrap_or_default()
    )
}

fn machine() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let namespace = fs::metadata("/proc/self/ns/pid")
        .map(|namespace| namespace.ino())
        .unwrap_or_default();
    format!("{}/{namespace}", host.trim())
}

fn started_at(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The 22nd word, counted from the end of the second: see proc(5).
    stat.rsplit_once(") ")?
        .1
        .split(' ')
        .nth(19)
        .map(str::to_owned)
}

/// Whether `owner` was a process of this machine that has ended. `false` for processes of other
/// machines, and where the kernel does not say when a process started.
fn is_dead(owner: &str) -> bool {
    if started_at(std::process::id()).is_none() {
        return false;
    }
    let Some(rest) = owner.strip_prefix(&machine()) else {
        return false;
    };
    let [pid, since] = rest.split_whitespace().collect::<Vec<_>>()[..] else {
        return false;
    };
    pid.parse()
        .is_ok_and(|pid| started_at(pid).is_none_or(|started_at| started_at != since))
}

/// Removes containers whose owners have ended, and all containers on the volume `data`, whose lock
/// the caller holds.
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

/// Removes a container, also one that runs, with its anonymous volumes.
pub async fn remove(client: &Docker, id: &str) -> anyhow::Result<()> {
    let force = RemoveContainerOptionsBuilder::new()
        .force(true)
        .v(true)
        .build();
    match client.remove_container(id, Some(force)).await {
        // It is gone, or another process removes it.
        Ok(())
        | Err(errors::Error::DockerResponseServerError {
            status_code: 404 | 409,
            ..
        }) => Ok(()),
        Err(error) => Err(error).context("the container cannot be removed"),
    }
}

/// Removes a volume and the containers that use it. Without an engine there is nothing to remove.
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
