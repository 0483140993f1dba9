use std::path::Path;

use super::{
    data::Servers,
    process::{Process, Role},
};
use crate::store_file::StoreFile;

/// Prints what runs where, the first manager's log-in, and what to try.
pub fn ready(
    file: &StoreFile,
    store: &Path,
    logs: &Path,
    servers: &Servers,
    processes: &[Process],
) {
    println!();
    println!("  {:<22}{}", "PostgreSQL", servers.postgres.describe());
    println!("  {:<22}{}", "Kafka", servers.kafka.describe());
    for process in processes {
        let what = match process.role {
            Role::Service(_) => format!("API {}/api/docs/{}/", file.base_url, process.program()),
            Role::Relay(_) => continue,
            Role::Gateway => format!("{}/api/docs/", file.base_url),
        };
        let relay = processes
            .iter()
            .find(|other| other.name() == format!("{}-relay", process.name()));
        let relay = relay
            .map(|relay| format!(", relay {}/metrics", relay.ops_url()))
            .unwrap_or_default();
        println!(
            "  {:<22}{what}, metrics {}/metrics{relay}",
            process.name(),
            process.ops_url()
        );
    }
    println!();
    println!("  {:<22}{}", "logs", logs.display());
    println!("  {:<22}{}", "store file", store.display());
    if let Some(manager) = &file.manager {
        println!(
            "  {:<22}{} / {}",
            "first manager", manager.email, manager.password
        );
    }
    println!();
    println!("  Try, in another terminal:");
    let option = if Path::new(".tovar/store.json")
        .canonicalize()
        .is_ok_and(|usual| usual == store)
    {
        String::new()
    } else {
        format!(" --store {}", store.display())
    };
    println!("    cargo tovar demo{option} --stock     fill the shop with goods, zones and slots");
    println!("    curl {}/api/goods", file.base_url);
    println!(
        "    cargo tovar demo{option}             orders that end in every way, with their \
         timelines"
    );
    println!();
    println!("ready {}", file.base_url);
}
