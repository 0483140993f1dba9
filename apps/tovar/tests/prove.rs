//! A short run of `cargo tovar prove outbox`: each fault once, for about a second.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use clap::ValueEnum;
use tovar::prove::{Fault, Plan, run};

/// Freezing a server, and proxies before it, need local processes.
fn can_have_local_servers() -> bool {
    let mut maven = Command::new("mvn");
    maven.arg("--version").stdout(Stdio::null());
    maven.status().is_ok_and(|status| status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_fault_loses_repeats_or_reorders_an_event() {
    if !can_have_local_servers() {
        eprintln!("skipped: it needs local processes, which come with a JDK and Maven");
        return;
    }
    let plan = Plan {
        seed: 1,
        faults: Fault::value_variants().to_vec(),
        time: Duration::ZERO,
        lasts: 300..1_500,
        program: env!("CARGO_BIN_EXE_tovar").into(),
    };
    let data = tempfile::tempdir().unwrap();
    let report = run(&plan, data.path()).await.unwrap();
    assert_eq!(report.violations, Vec::<String>::new());
    assert_eq!(
        report.faults.len() + report.skipped.len(),
        plan.faults.len()
    );
    assert!(report.committed > 500, "{report:?}");
}
