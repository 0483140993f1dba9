use std::{fs, process::Command};

use anyhow::Context;
use tokio_postgres::config::Host;

use super::rig::Run;

const VERSION: &str = "3.4.0.Final";
const SOURCE: &str = include_str!("Debezium.java");

/// The command that runs Debezium: a small program with its jars, which Maven fetches once.
pub async fn command(run: &Run) -> anyhow::Result<Command> {
    let artifacts = ["debezium-embedded", "debezium-connector-postgres"]
        .map(|name| format!("io.debezium:{name}:{VERSION}"));
    let jars = backing::jars(&artifacts.each_ref().map(String::as_str), &|line| {
        eprintln!("{line}");
    })
    .await?;
    let source = run.folder.join("Debezium.java");
    fs::write(&source, SOURCE)?;
    let database: tokio_postgres::Config = run.url.parse()?;
    let host = match database.get_hosts() {
        [Host::Tcp(host), ..] => host.clone(),
        _ => "127.0.0.1".to_owned(),
    };
    let port = database
        .get_ports()
        .first()
        .copied()
        .unwrap_or(5432)
        .to_string();
    let password = database
        .get_password()
        .map(String::from_utf8_lossy)
        .unwrap_or_default()
        .into_owned();
    let mut command = Command::new("java");
    command
        .args(["-Xmx1g", "-cp"])
        .arg(format!("{}/*", jars.display()))
        .arg(source)
        .args([
            &host,
            &port,
            database.get_user().context("a user")?,
            &run.name,
        ])
        .envs([("PGPASSWORD", &password)])
        .args([&run.kafka.kafka_brokers, &run.kafka.kafka_prefix])
        .arg(&run.folder);
    Ok(command)
}
