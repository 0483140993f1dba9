//! `cargo tovar up`: the whole store on this machine.

mod backoff;
mod build;
mod console;
mod data;
pub(crate) mod process;
mod show;
mod supervise;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use backing::{PerRole, ServerKind, Unprivileged};
use telemetry::{Shutdown, ShutdownSettings};

use self::{
    data::{DataFolder, Secrets},
    process::{Ports, Process, Role},
    supervise::{Programs, Supervisor},
};
use crate::{
    client::wait_for,
    services::SERVICES,
    store_file::{Credentials, DEFAULT_DATA, StoreFile},
};

#[derive(Clone, Debug, clap::Args)]
pub struct UpArgs {
    /// Port of the store's one base address
    #[arg(long, default_value_t = 8080, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,

    /// Folder that keeps databases, topics and logs between runs
    #[arg(long, value_name = "FOLDER", default_value = DEFAULT_DATA)]
    data: PathBuf,

    /// Throw away what an earlier run left in the folder
    #[arg(long)]
    fresh: bool,

    /// Build and run with optimisations
    #[arg(long)]
    release: bool,

    /// Partitions of each topic
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(i32).range(1..=100))]
    partitions: i32,

    #[command(flatten)]
    shutdown: ShutdownSettings,
}

/// Runs the store until Ctrl-C or SIGTERM.
pub async fn up(args: UpArgs) -> anyhow::Result<()> {
    let mut stop = Shutdown::listen(&args.shutdown)?;
    let folder = DataFolder::open(&args.data)?;
    let user = Unprivileged::if_root()?;
    let mut ports = Ports::of(user);
    let gateway = match ports.take(args.port) {
        Ok(reserved) => reserved.setting(),
        Err(error) => bail!(
            "127.0.0.1:{} is taken ({error}); choose another port with --port",
            args.port
        ),
    };
    let kind = ServerKind::detect().await?;
    folder.prepare(args.fresh)?;
    console::step("building the services (the first time takes a few minutes)");
    let Some(binaries) = unless_stopped(&mut stop, build::build(args.release)).await else {
        return Ok(());
    };
    let programs = Programs {
        folder: binaries?,
        user,
    };

    let Some(servers) = unless_stopped(&mut stop, folder.start_servers(kind)).await else {
        return Ok(());
    };
    let mut servers = servers?;
    let listeners = Listeners { gateway, ports };
    let outcome = run(&args, &folder, &mut servers, programs, listeners, &mut stop).await;
    StoreFile::remove(&folder.path);
    console::step("stopping Kafka and PostgreSQL");
    servers.stop().await?;
    console::step("stopped; the data is kept, and `cargo tovar up` goes on with it");
    outcome
}

async fn run(
    args: &UpArgs,
    folder: &DataFolder,
    servers: &mut data::Servers,
    programs: Programs,
    mut listeners: Listeners,
    stop: &mut Shutdown,
) -> anyhow::Result<()> {
    let secrets = folder.secrets()?;
    console::step("databases and topics");
    let databases = servers.provision(&secrets).await?;
    let topics: Vec<&str> = contracts::catalogue::TOPICS.to_vec();
    servers
        .kafka
        .create_topics(&topics, args.partitions)
        .await?;

    console::step("services, relays and gateway");
    let processes = processes(&mut listeners, servers, &secrets, &databases)?;
    let mut supervisor = Supervisor::new(programs, &folder.logs());
    let ready = async {
        // A relay needs the tables that its service creates, and the gateway needs all services.
        let waves: [fn(&Role) -> bool; 2] = [
            |role| matches!(role, Role::Service(_)),
            |role| !matches!(role, Role::Service(_)),
        ];
        for is_next in waves {
            let wave: Vec<&Process> = processes
                .iter()
                .filter(|process| is_next(&process.role))
                .collect();
            supervisor.start(wave.iter().copied())?;
            for process in wave {
                supervisor
                    .until_ready(process, Duration::from_secs(120))
                    .await?;
            }
        }
        let client = crate::client::Client::new(format!("http://127.0.0.1:{}", args.port));
        wait_for(
            "the gateway to answer",
            Duration::from_secs(30),
            async || Ok(client.get("/api/goods").await?.status.is_success()),
        )
        .await
    };
    let outcome = match unless_stopped(stop, ready).await {
        Some(Ok(())) => {
            let file = StoreFile {
                base_url: format!("http://127.0.0.1:{}", args.port),
                kafka_brokers: servers.kafka.bootstrap(),
                kafka_prefix: String::new(),
                databases: by_name(&databases, |roles| &roles.owner),
                readers: by_name(&databases, |roles| &roles.reader),
                ops: processes
                    .iter()
                    .map(|process| (process.name(), process.ops_url()))
                    .collect(),
                manager: Some(Credentials {
                    email: secrets.manager_email.clone(),
                    password: secrets.manager_password.clone(),
                }),
                pid: std::process::id(),
            };
            let path = file.write(&folder.path)?;
            file.write_targets(&folder.path)?;
            show::ready(&file, &path, &folder.logs(), servers, &processes);
            // Until the operator stops the store.
            let _ = unless_stopped(stop, servers.keep()).await;
            Ok(())
        }
        Some(Err(error)) => {
            Err(error.context(format!("the logs are in {}", folder.logs().display())))
        }
        None => Ok(()),
    };
    console::step("stopping the services (they finish what they accepted)");
    supervisor.stop().await;
    outcome
}

/// The ports at which the store listens.
struct Listeners {
    /// The gateway's setting.
    gateway: String,
    ports: Ports,
}

/// The addresses of all databases for one of their roles.
fn by_name(
    databases: &data::Addresses,
    role: fn(&PerRole<String>) -> &String,
) -> BTreeMap<String, String> {
    let addresses = databases.iter();
    addresses
        .map(|(name, roles)| ((*name).to_owned(), role(roles).clone()))
        .collect()
}

/// Every process of the store with its settings, in the order of their start.
fn processes(
    Listeners { gateway, ports }: &mut Listeners,
    servers: &data::Servers,
    secrets: &Secrets,
    databases: &data::Addresses,
) -> anyhow::Result<Vec<Process>> {
    let mut all = Vec::new();
    let mut addresses = BTreeMap::new();
    for service in SERVICES {
        let http = ports.take(0)?;
        let listen = http.setting();
        addresses.insert(service.name, format!("http://{}", http.address()));
        let database = databases
            .get(service.name)
            .context("a service without a database")?;
        let jwks = format!("{}/.well-known/jwks.json", addresses["users"]);
        let relay = Process::new(Role::Relay(service), ports.take(0)?)
            .with("DATABASE_URL", &database.relay)
            .with("KAFKA_BROKERS", &servers.kafka.bootstrap())
            .with("RELAY_SOURCE", &format!("/tovar/{}", service.name));
        let mut process = Process::new(Role::Service(service), ports.take(0)?)
            .with("HTTP_LISTEN", &listen)
            .with("DATABASE_URL", &database.service)
            .with("MIGRATION_DATABASE_URL", &database.owner)
            .with("KAFKA_BROKERS", &servers.kafka.bootstrap())
            .with("IDEMPOTENCY_SECRET", &secrets.idempotency[service.name])
            .with("JWKS_URL", &jwks);
        if service.name == "users" {
            process = process
                .with("TOKEN_KEY_SECRET", &secrets.token_keys)
                .with("FIRST_MANAGER_EMAIL", &secrets.manager_email)
                .with("FIRST_MANAGER_PASSWORD", &secrets.manager_password);
        }
        all.extend([process, relay]);
    }
    let mut process = Process::new(Role::Gateway, ports.take(0)?).with("GATEWAY_LISTEN", gateway);
    for service in SERVICES {
        process = process.with(service.gateway_variable, &addresses[service.name]);
    }
    all.push(process);
    Ok(all)
}

/// The outcome of `work`, or `None` if the operator stops the store first.
async fn unless_stopped<T>(stop: &mut Shutdown, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = stop.requested() => None,
    }
}
