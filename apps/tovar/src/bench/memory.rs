use anyhow::ensure;

use super::{
    processes::{children_of, resident},
    report::BenchReport,
};
use crate::{services::SERVICES, store_file::StoreFile};

/// Reports the resident memory of each process of the store, and of services and relays together.
pub fn measure(store: &StoreFile, report: &mut BenchReport) -> anyhow::Result<()> {
    let (mut relays, mut all) = (0, 0);
    for (id, program) in children_of(store.pid) {
        let kilobytes = resident(id);
        if SERVICES.iter().any(|service| service.name == program) {
            report.number("memory", &program, "kB", kilobytes as f64);
        } else if program == "outbox-relay" {
            relays += 1;
            report.number("memory", &format!("relay {relays}"), "kB", kilobytes as f64);
        } else {
            continue;
        }
        all += kilobytes;
    }
    ensure!(
        all > 0,
        "no process of the store is a child of process {}",
        store.pid
    );
    report.number("memory", "services and relays together", "kB", all as f64);
    Ok(())
}
