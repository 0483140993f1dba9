//! The short form of `cargo tovar prove outbox`: each fault once, for a moment.

use std::time::Duration;

use clap::ValueEnum;
use tovar::prove::{Fault, Plan, run};

#[tokio::test(flavor = "multi_thread")]
async fn no_fault_loses_repeats_or_reorders_an_event() {
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
    assert_eq!(report.faults.len(), plan.faults.len());
    assert!(report.committed > 500, "{report:?}");
}
