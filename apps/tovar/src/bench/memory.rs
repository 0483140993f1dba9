use std::fs;

use anyhow::Context;
use serde_json::{Map, Value};

use crate::{services::SERVICES, store_file::StoreFile};

/// Kilobytes resident of each process that the store's `up` started, as the kernel counts them.
pub fn measure(store: &StoreFile) -> anyhow::Result<Value> {
    let mut measured = Map::new();
    let (mut relays, mut all) = (0, 0);
    for entry in fs::read_dir("/proc").context("/proc cannot be read")?.flatten() {
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace()
                .next()
                .and_then(|value| value.parse::<u64>().ok())
        };
        if field("PPid:") != Some(u64::from(store.pid)) {
            continue;
        }
        let program = fs::read_link(entry.path().join("exe")).unwrap_or_default();
        let program = program
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
            .to_owned();
        let resident = field("VmRSS:").unwrap_or_default();
        if SERVICES.iter().any(|service| service.name == program) {
            measured.insert(format!("{program} (kB)"), resident.into());
            all += resident;
        } else if program == "outbox-relay" {
            relays += 1;
            measured.insert(format!("relay {relays} (kB)"), resident.into());
            all += resident;
        }
    }
    anyhow::ensure!(
        all > 0,
        "no process of the store is a child of process {}",
        store.pid
    );
    measured.insert("services and relays together (kB)".to_owned(), all.into());
    Ok(Value::Object(measured))
}
