//! `cargo tovar connect`: makes a store in a Kubernetes cluster reachable from this machine, as if
//! it ran here.

mod forward;
mod kubectl;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context, bail, ensure};
use sha2::{Digest, Sha256};
use telemetry::{Shutdown, ShutdownSettings};
use tokio::time::Instant;

use self::forward::{Forward, LocalPort};
pub use self::kubectl::Kubectl;
use crate::{
    services::SERVICES,
    store_file::{Credentials, DEFAULT_DATA, StoreFile},
};

#[derive(Clone, Debug, clap::Args)]
pub struct ConnectArgs {
    /// Namespace of the release
    #[arg(long, short, default_value = "default")]
    namespace: String,

    /// Name of the release
    #[arg(long, default_value = "tovar")]
    release: String,

    /// Folder for the store file by which the other commands find the store
    #[arg(long, value_name = "FOLDER", default_value = DEFAULT_DATA)]
    data: PathBuf,

    #[command(flatten)]
    reach: Reach,

    #[command(flatten)]
    shutdown: ShutdownSettings,
}

/// How much of a store is reachable. Without options: its HTTP addresses, and its databases to
/// read.
#[derive(Clone, Copy, Default, Debug, clap::Args)]
pub struct Reach {
    /// Also what changes the store: the databases as their owner, and the first manager's log-in
    #[arg(long)]
    pub write: bool,

    /// Also Kafka, at a port that each user of this machine reaches: `outbox audit` reads it
    #[arg(long)]
    pub kafka: bool,
}

/// Bounds the time until all forwards are open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(120);

/// Forwards until Ctrl-C or SIGTERM.
pub async fn connect(args: ConnectArgs) -> anyhow::Result<()> {
    let mut stop = Shutdown::listen(&args.shutdown)?;
    let kubectl = Kubectl::new(&args.namespace);
    backing::private::folder(&args.data)?;
    let connection = tokio::select! {
        connection = Connection::open(kubectl, &args.release, args.reach) => connection?,
        () = stop.requested() => return Ok(()),
    };
    let file = &connection.store;
    let path = file.write(&args.data)?;
    println!("  {:<22}{}", "store file", path.display());
    if file.manager.is_some() {
        println!("  {:<22}in the store file", "first manager");
    } else {
        println!("  {:<22}reading only; --write for the rest", "databases");
    }
    if file.kafka_brokers.is_empty() {
        println!("  {:<22}not forwarded; --kafka does it", "Kafka");
    }
    println!();
    println!("ready {}", file.base_url);
    stop.requested().await;
    StoreFile::remove(&args.data);
    Ok(())
}

/// Forwards to a store in a cluster, which end when this is dropped. A forward that breaks or hangs
/// is opened again.
pub struct Connection {
    pub store: StoreFile,
    _forwards: Vec<Forward>,
}

impl Connection {
    /// Opens all forwards, and prints what it waits for. An error if they are not open in time.
    pub async fn open(kubectl: Kubectl, release: &str, reach: Reach) -> anyhow::Result<Self> {
        eprintln!("looking for the release {release} in {kubectl}");
        let local_port = async |there| {
            let local_port = LocalPort::at(0, there).await;
            local_port.context("no port of 127.0.0.1 is free")
        };
        // Each target with its local ports, and the port that answers HTTP requests which do not
        // count as work of the store.
        let mut wanted = Vec::new();
        let (mut databases, mut readers, mut ops) =
            (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for service in SERVICES {
            let name = service.name;
            let full = name_of(release, name);
            let secret = kubectl
                .secret(&format!("{full}-postgres"))
                .await
                .context("only a store whose databases the chart runs can be connected to")?;
            let database = local_port(5432).await?;
            if reach.write {
                databases.insert(name.to_owned(), at(&secret, "url", database.here)?);
            }
            readers.insert(name.to_owned(), at(&secret, "reader-url", database.here)?);
            wanted.push((format!("service/{full}-postgres"), vec![database], None));
            let (own, relay) = (local_port(9090).await?, local_port(9091).await?);
            let (own_port, relay_port) = (own.here, relay.here);
            ops.insert(name.to_owned(), format!("http://127.0.0.1:{own_port}"));
            ops.insert(
                format!("{name}-relay"),
                format!("http://127.0.0.1:{relay_port}"),
            );
            let pods = format!("deployment/{full}");
            if kubectl.exists(&format!("deployment/{full}-relay")).await? {
                wanted.push((pods, vec![own], Some(own_port)));
                wanted.push((
                    format!("deployment/{full}-relay"),
                    vec![relay],
                    Some(relay_port),
                ));
            } else {
                wanted.push((pods, vec![own, relay], Some(own_port)));
            }
        }
        let (http, gateway_ops) = (local_port(8080).await?, local_port(9090).await?);
        let (http_port, ops_port) = (http.here, gateway_ops.here);
        ops.insert("gateway".to_owned(), format!("http://127.0.0.1:{ops_port}"));
        let gateway = format!("deployment/{}", name_of(release, "gateway"));
        wanted.push((gateway, vec![http, gateway_ops], Some(ops_port)));
        let mut kafka_brokers = String::new();
        if reach.kafka {
            let kafka = kafka_port(&kubectl, release).await?;
            kafka_brokers = format!("127.0.0.1:{}", kafka.here);
            let pods = format!("statefulset/{}", name_of(release, "kafka"));
            wanted.push((pods, vec![kafka], None));
        }

        let users = format!("deployment/{}", name_of(release, "users"));
        let manager = if reach.write {
            let email = kubectl
                .variable(&users, "service", "FIRST_MANAGER_EMAIL")
                .await?;
            let secret = kubectl.secret(&name_of(release, "users")).await?;
            Some(Credentials {
                email: email.context("the users service has no FIRST_MANAGER_EMAIL")?,
                password: of(&secret, "first-manager-password")?.to_owned(),
            })
        } else {
            None
        };
        let store = StoreFile {
            base_url: format!("http://127.0.0.1:{http_port}"),
            kafka_brokers,
            kafka_prefix: kubectl
                .variable(&users, "service", "KAFKA_PREFIX")
                .await?
                .unwrap_or_default(),
            databases,
            readers,
            ops,
            manager,
            // No process of the store is a child of it, as none runs on this machine.
            pid: std::process::id(),
        };
        let forwards: Vec<Forward> = wanted
            .into_iter()
            .map(|(to, local_ports, asked)| Forward::start(kubectl.clone(), to, local_ports, asked))
            .collect();
        eprintln!("opening {} forwards", forwards.len());
        let deadline = Instant::now() + OPEN_TIMEOUT;
        for forward in &forwards {
            forward
                .until_open(deadline.saturating_duration_since(Instant::now()))
                .await?;
        }
        Ok(Self {
            store,
            _forwards: forwards,
        })
    }
}

/// The name of a part of a release, as the charts make it (`tovar.nameOf`): if it is too long, a
/// hash replaces the end of the release's name.
fn name_of(release: &str, part: &str) -> String {
    const NAME_LENGTH_MAX: usize = 43;
    if release.len() + 1 + part.len() <= NAME_LENGTH_MAX {
        return format!("{release}-{part}");
    }
    let hash = format!("{:x}", Sha256::digest(release));
    let hash = &hash[..8];
    let begin: String = release
        .chars()
        .take(NAME_LENGTH_MAX - 10 - part.len())
        .collect();
    format!(
        "{}-{hash}-{part}",
        begin.strip_suffix('-').unwrap_or(&begin)
    )
}

/// The local port to Kafka, at the port of 127.0.0.1 that the broker advertises.
async fn kafka_port(kubectl: &Kubectl, release: &str) -> anyhow::Result<LocalPort> {
    let listeners = kubectl
        .variable(
            &format!("statefulset/{}", name_of(release, "kafka")),
            "kafka",
            "KAFKA_ADVERTISED_LISTENERS",
        )
        .await
        .context("only a store whose Kafka the chart runs can be connected to")?
        .unwrap_or_default();
    let port = listeners
        .split(',')
        .find_map(|listener| listener.strip_prefix("FORWARD://127.0.0.1:"));
    let port = port
        .context("the broker has no listener for forwards")?
        .parse()?;
    match LocalPort::at(port, port).await {
        Ok(local_port) => Ok(local_port),
        Err(error) => {
            bail!("127.0.0.1:{port} is taken ({error}); give the chart another kafka.forwardPort")
        }
    }
}

fn of<'s>(secret: &'s BTreeMap<String, String>, key: &str) -> anyhow::Result<&'s str> {
    let value = secret.get(key);
    Ok(value.with_context(|| format!("the secret has no {key}"))?)
}

/// A database's address, with a port of this machine instead of its host in the cluster.
fn at(secret: &BTreeMap<String, String>, key: &str, port: u16) -> anyhow::Result<String> {
    let url = of(secret, key)?;
    let (who, place) = url.rsplit_once('@').context("an address without a user")?;
    let (_, database) = place
        .split_once('/')
        .context("an address without a database")?;
    ensure!(who.starts_with("postgres"), "no address of a database");
    Ok(format!("{who}@127.0.0.1:{port}/{database}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected names are those of `helm template`.
    #[test]
    fn a_long_name_is_cut_as_the_charts_do() {
        let long = "r".repeat(53);
        assert_eq!(name_of("tovar", "orders"), "tovar-orders");
        assert_eq!(
            name_of(&"r".repeat(36), "orders"),
            format!("{}-orders", "r".repeat(36))
        );
        assert_eq!(
            name_of(&long, "orders"),
            "rrrrrrrrrrrrrrrrrrrrrrrrrrr-432e4992-orders"
        );
        assert_eq!(
            name_of(&long, "notifications"),
            "rrrrrrrrrrrrrrrrrrrr-432e4992-notifications"
        );
    }

    #[test]
    fn an_address_in_the_cluster_is_led_over_this_machine() {
        let secret = [(
            "url",
            "postgres://orders:pw@tovar-orders-postgres:5432/orders",
        )];
        let secret = secret
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        assert_eq!(
            at(&secret, "url", 4000).unwrap(),
            "postgres://orders:pw@127.0.0.1:4000/orders"
        );
        assert!(at(&secret, "reader-url", 4000).is_err());
    }
}
