use std::path::Path;

use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use tokio::process::Command;

use super::options::{CLUSTER_ID, KafkaOptions};
use crate::{
    Progress, cache,
    data_folder::{Unprivileged, claim, free_port, remembered_port},
    orphan_guard::Launch,
    private,
};

const VERSION: &str = "4.1.0";
/// The broker's jar has no logger; without one it does not say why it ended.
const LOGGER: &str = "org.slf4j:slf4j-simple:1.7.36";
const LOG_LEVEL: &str = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn";

/// Settings for a single broker: there are no others to replicate to or to wait for.
pub const SINGLE_BROKER: &[(&str, &str)] = &[
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("offsets.topic.num.partitions", "4"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("auto.create.topics.enable", "false"),
    ("num.partitions", "12"),
];

/// Settings for one of several brokers: others soon lead its partitions after its end, and it soon
/// leads them again after its start.
const OF_SEVERAL: &[(&str, &str)] = &[
    ("broker.session.timeout.ms", "3000"),
    ("broker.heartbeat.interval.ms", "500"),
    ("leader.imbalance.check.interval.seconds", "1"),
    ("leader.imbalance.per.broker.percentage", "0"),
];

/// Where a broker listens on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub direct: u16,
    /// Clients that connect here are told the proxy's address.
    pub behind_proxy: Option<u16>,
}

/// One of the brokers of a cluster. Each of them is a controller as well.
#[derive(Clone, Debug)]
pub struct Member {
    /// From 1 on.
    pub id: usize,
    /// The ports of 127.0.0.1 at which the controllers of all brokers listen.
    pub controllers: Vec<u16>,
}

impl Member {
    pub fn alone() -> anyhow::Result<Self> {
        let controllers = vec![free_port()?];
        Ok(Self { id: 1, controllers })
    }
}

/// Fetches the broker, and formats its storage if that is new. Returns how to start it, its ports
/// and its version.
pub async fn prepare(
    options: &KafkaOptions,
    member: &Member,
    progress: Progress<'_>,
) -> anyhow::Result<(Launch, Ports, &'static str)> {
    if Command::new("java").arg("-version").output().await.is_err() {
        bail!(
            "neither a Docker engine answers nor is there a JDK: install one of them, for example \
             Debian's packages \
             default-jdk-headless and maven"
        );
    }
    let jars = cache::jars(
        &[&format!("org.apache.kafka:kafka_2.13:{VERSION}"), LOGGER],
        progress,
    )
    .await?;
    let user = Unprivileged::if_root()?;
    let (folder, lock) = claim(options.data.as_deref(), "kafka", user).await?;
    let ports = Ports {
        direct: remembered_port(&folder, "port")?,
        behind_proxy: options.proxy.map(|_| free_port()).transpose()?,
    };
    let properties = folder.join("server.properties");
    let settings = server_properties(&folder.join("log"), ports, options.proxy, member);
    private::write(&properties, settings.as_bytes())?;
    let log = folder.join("kafka.log");
    private::log(&log)?;
    if let Some(user) = user {
        user.own(&properties)?;
        user.own(&log)?;
    }
    let classpath = format!("{}/*", jars.display());
    if !folder.join("log/meta.properties").exists() {
        format_storage(&classpath, &properties, user).await?;
    }
    let heap = format!("-Xmx{}m", options.heap);
    let arguments = [
        &heap,
        "-XX:+UseG1GC",
        LOG_LEVEL,
        "-cp",
        &classpath,
        "kafka.Kafka",
    ];
    let launch = Launch {
        program: "java".into(),
        arguments: arguments
            .iter()
            .map(ToString::to_string)
            .chain([properties.display().to_string()])
            .collect(),
        environment: Vec::new(),
        log,
        user,
        stop: Signal::SIGTERM,
        folder_lock: lock,
    };
    Ok((launch, ports, VERSION))
}

/// The settings as a file. A broker tells a client the address that belongs to the listener at
/// which the client asks.
fn server_properties(log: &Path, ports: Ports, proxy: Option<u16>, member: &Member) -> String {
    let Member { id, controllers } = member;
    let controller = controllers[id - 1];
    let voters: Vec<String> = (1..)
        .zip(controllers)
        .map(|(id, port)| format!("{id}@127.0.0.1:{port}"))
        .collect();
    let direct = format!("PLAINTEXT://127.0.0.1:{}", ports.direct);
    let mut listeners = format!("{direct},CONTROLLER://127.0.0.1:{controller}");
    let mut advertised = direct;
    if let (Some(behind), Some(proxy)) = (ports.behind_proxy, proxy) {
        listeners += &format!(",PROXIED://127.0.0.1:{behind}");
        advertised += &format!(",PROXIED://127.0.0.1:{proxy}");
    }
    let mut text = format!(
        "process.roles=broker,controller\nnode.id={id}\n\
         listeners={listeners}\n\
         advertised.listeners={advertised}\n\
         controller.quorum.voters={}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=\
         PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT\n\
         log.dirs={}\n",
        voters.join(","),
        log.display()
    );
    let of_several = if controllers.len() > 1 {
        OF_SEVERAL
    } else {
        &[]
    };
    for (name, value) in SINGLE_BROKER.iter().chain(of_several) {
        text.extend([name, "=", value, "\n"]);
    }
    text
}

async fn format_storage(
    classpath: &str,
    properties: &Path,
    user: Option<Unprivileged>,
) -> anyhow::Result<()> {
    let mut format = Command::new("java");
    format
        .args([
            // It ends before optimised code would pay.
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-cp",
            classpath,
            "kafka.tools.StorageTool",
            "format",
            "-t",
            CLUSTER_ID,
            "-c",
        ])
        .arg(properties)
        .current_dir("/");
    if let Some(user) = user {
        format.uid(user.uid).gid(user.gid);
    }
    let output = format
        .kill_on_drop(true)
        .output()
        .await
        .context("java cannot be run")?;
    if !output.status.success() {
        bail!(
            "Kafka's storage cannot be formatted:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
