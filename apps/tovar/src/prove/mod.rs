//! `cargo tovar prove outbox`: puts the outbox, its relay and the inbox through faults, one after
//! the other under load, and checks after each that no event was lost, invented, applied twice or
//! reordered.

mod addresses;
mod check;
mod cleanup;
mod clock;
mod consumer;
mod disk;
mod fault;
mod judge;
mod process;
mod proxy;
mod report;
mod rig;
mod topic;
mod writers;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use tokio::time::Instant;

pub use self::{fault::Fault, process::ProveProcess, report::ProveReport};
use self::{report::name, rig::Rig, topic::Topic, writers::Writers};

/// How long after a fault's repair the consumers may take to apply all committed events.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(90);

#[derive(Clone, Debug, Subcommand)]
pub enum ProveCommand {
    /// Faults at random, under load: exit code 0 clean, 1 a violation, 2 could not run
    Outbox(OutboxArgs),
    #[command(flatten)]
    ProveProcess(ProveProcess),
}

#[derive(Clone, Debug, Args)]
pub struct OutboxArgs {
    /// Minutes for which faults follow each other: less than a day, for which an outbox keeps what
    /// was sent
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1_400))]
    minutes: u64,

    /// Chooses the faults, their order and their length; without it a new one
    #[arg(long)]
    seed: Option<u64>,

    /// Only these faults
    #[arg(long, value_delimiter = ',')]
    fault: Vec<Fault>,

    /// Folder for the servers' data; without it a temporary one
    #[arg(long)]
    data: Option<PathBuf>,

    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

/// What a run does.
pub struct Plan {
    pub seed: u64,
    pub faults: Vec<Fault>,
    /// After this time no further round begins; the first one always does.
    pub time: Duration,
    /// How long a fault lasts, in milliseconds.
    pub lasts: std::ops::Range<u64>,
    /// This program, which the relays and consumers run.
    pub program: PathBuf,
}

pub async fn prove(command: ProveCommand) -> ExitCode {
    let outcome = match command {
        ProveCommand::Outbox(args) => outbox(args).await,
        ProveCommand::ProveProcess(work) => process::run(work).await.map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}

async fn outbox(args: OutboxArgs) -> anyhow::Result<ExitCode> {
    let plan = Plan {
        seed: args
            .seed
            .unwrap_or_else(|| rand::rng().random_range(0..1_000_000)),
        faults: if args.fault.is_empty() {
            Fault::value_variants().to_vec()
        } else {
            args.fault
        },
        time: Duration::from_secs(args.minutes * 60),
        lasts: 500..8_000,
        program: std::env::current_exe()?,
    };
    let folder = match &args.data {
        Some(data) => tempfile::tempdir_in(data),
        None => tempfile::tempdir(),
    };
    let folder = folder.context("no folder can be made for the servers; name one with --data")?;
    let report = run(&plan, folder.path()).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{}", report.text());
    }
    if report.violations.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    for violation in &report.violations {
        eprintln!("{violation}");
    }
    eprintln!(
        "seed {}; the data are kept in {}",
        plan.seed,
        folder.keep().display()
    );
    Ok(ExitCode::from(1))
}

/// Runs rounds of all faults, each round in another order, until the time is over or there is a
/// violation.
pub async fn run(plan: &Plan, data: &Path) -> anyhow::Result<ProveReport> {
    // If this process is root, the servers run as another user.
    fs::set_permissions(data, fs::Permissions::from_mode(0o711))?;
    let mut random = StdRng::seed_from_u64(plan.seed);
    let mut rig = Rig::start(data, plan.program.clone()).await?;
    let writers = Writers::start(&rig.addresses.url, plan.seed).await?;
    let mut topic = Topic::default();
    let mut report = ProveReport {
        seed: plan.seed,
        ..ProveReport::default()
    };
    let began = Instant::now();
    let mut faults = Vec::new();
    for &fault in &plan.faults {
        match fault.lacks(&rig) {
            None => faults.push(fault),
            Some(what) => {
                eprintln!("skipped: {}, which needs {what}", name(fault));
                report.skipped.push(fault);
            }
        }
    }
    anyhow::ensure!(!faults.is_empty(), "every fault was skipped");
    // Before the first fault the store must be clean.
    report.violations = check::check(&mut rig, &writers, &mut topic, RECOVERY_TIMEOUT)
        .await?
        .violations;
    anyhow::ensure!(
        report.violations.is_empty(),
        "nothing has gone wrong yet, and {}",
        report.violations.join("; ")
    );
    'rounds: loop {
        faults.shuffle(&mut random);
        for &fault in &faults {
            let time = Duration::from_millis(random.random_range(plan.lasts.clone()));
            eprintln!(
                "{:>5} s  {} for {:.1} s",
                began.elapsed().as_secs(),
                name(fault),
                time.as_secs_f64()
            );
            fault
                .strike(&mut rig, time)
                .await
                .with_context(|| format!("{} could not be done", name(fault)))?;
            let finding = check::check(&mut rig, &writers, &mut topic, RECOVERY_TIMEOUT).await?;
            report.committed = finding.committed;
            report.violations = finding.violations;
            if !report.violations.is_empty() {
                eprintln!("after {}:", name(fault));
                break 'rounds;
            }
            report.count(fault, finding.recovery.as_secs_f64());
            if began.elapsed() > plan.time && report.faults.len() == faults.len() {
                break 'rounds;
            }
        }
    }
    report.seconds = began.elapsed().as_secs_f64();
    report.rolled_back = writers.outcomes().aborted.len();
    report.on_topic = topic.first.len();
    report.duplicates = topic.duplicates;
    drop(writers);
    rig.stop(!report.violations.is_empty()).await?;
    Ok(report)
}
