use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use telemetry::{Shutdown, ShutdownSettings};
use tokio::process::{Child, Command};

use super::{
    args::LoadArgs,
    record::{Counted, Note, Reader, Reconciled, Second},
    repository::repository,
};

/// A running Locust with the journeys of `locustfile.py`.
pub struct Locust {
    process: Child,
    record: PathBuf,
    log: PathBuf,
}

/// The result of a run. Times in seconds since 1970.
pub struct Run {
    /// Nothing was sent from `quiet_from` to `begun`, and from `ended` to `quiet_until`.
    pub quiet_from: f64,
    pub begun: f64,
    pub ended: f64,
    pub quiet_until: f64,
    pub seconds: Vec<Second>,
    pub locust: Counted,
    pub gateway: Option<Value>,
    pub reconciled: Reconciled,
}

impl Locust {
    /// Starts Locust. It sends nothing for `pause` seconds before and after the load.
    pub async fn start(args: &LoadArgs, address: &str, pause: f64) -> anyhow::Result<Self> {
        let repository = repository()?;
        let python = python(&repository).await?;
        let file = |name: &str| std::path::absolute(args.report.join(name));
        let (record, log) = (file("record.jsonl")?, file("locust.log")?);
        let written =
            File::create(&log).with_context(|| format!("{} cannot be written", log.display()))?;
        if record.exists() {
            fs::remove_file(&record)?;
        }
        let mut command = Command::new(python);
        command
            .args([
                "-m",
                "locust",
                "--headless",
                "--only-summary",
                "--host",
                address,
            ])
            .arg(format!("--users={}", args.users))
            .arg(format!("--spawn-rate={}", args.spawn_rate))
            .arg(format!("--run-time={}s", args.time))
            .current_dir(&repository)
            .env("TOVAR_LOAD_RECORD", &record)
            .env("TOVAR_LOAD_PAUSE", pause.to_string())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(written.try_clone()?)
            .stderr(written)
            // A terminal's Ctrl-C must reach only this process, which passes it on once.
            .process_group(0)
            .kill_on_drop(true);
        // With --url Locust must not find the store file of a store that runs here.
        let store = if args.url.is_some() {
            PathBuf::from("/dev/null/none")
        } else {
            std::path::absolute(&args.store.store)?
        };
        command.env("TOVAR_STORE", store);
        Ok(Self {
            process: command.spawn().context("Locust cannot be started")?,
            record,
            log,
        })
    }

    /// Prints progress until the journal is compared with the store. A first Ctrl-C ends the load,
    /// and the journal is still compared; a second one ends the command.
    pub async fn until_ended(mut self, args: &LoadArgs) -> anyhow::Result<Run> {
        let mut reader = Reader::default();
        let mut notes = Vec::new();
        let mut stop = Shutdown::listen(&ShutdownSettings::default())?;
        let mut is_stopped = false;
        eprintln!("a shop for the run is opened");
        let status = loop {
            let status = tokio::select! {
                status = self.process.wait() => Some(status?),
                () = tokio::time::sleep(Duration::from_millis(100)) => None,
                () = stop.requested() => {
                    if is_stopped {
                        bail!("stopped before the journal was compared with the store");
                    }
                    is_stopped = true;
                    eprintln!("the load is ended; what was sent is still compared with the store");
                    self.end();
                    None
                }
            };
            for note in reader.read(&self.record)? {
                show(args, &note, &notes);
                notes.push(note);
            }
            if let Some(status) = status {
                break status;
            }
        };
        collect(notes)
            .with_context(|| format!("Locust ended with {status}: {}", last_words(&self.log)))
    }

    /// Not by SIGINT: Python ignores it if it was ignored at its start, as in the background of a
    /// script.
    fn end(&self) {
        let id = self.process.id().and_then(|id| i32::try_from(id).ok());
        // An error means that it has ended.
        let _ = id.map(|id| kill(Pid::from_raw(id), Signal::SIGTERM));
    }
}

/// The path of a Python with the pinned Locust, which is installed the first time.
async fn python(repository: &Path) -> anyhow::Result<String> {
    let made = Command::new(repository.join(".ci/python"))
        .args(["load", "load/requirements.txt"])
        .current_dir(repository)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .await
        .context(".ci/python cannot be run; it needs bash")?;
    if !made.status.success() {
        bail!("there is no Python to run Locust with; see above");
    }
    Ok(String::from_utf8(made.stdout)?.trim().to_owned())
}

fn show(args: &LoadArgs, note: &Note, before: &[Note]) {
    let passed = before
        .iter()
        .filter(|note| matches!(note, Note::Second(_)))
        .count()
        + 1;
    match note {
        Note::Prepared { .. } => {}
        Note::Begun { .. } => eprintln!("{} people use the store for {} s", args.users, args.time),
        Note::Second(second) => {
            let time = |time: Option<f64>| {
                time.map_or_else(|| "-".to_owned(), |time| format!("{time:.0} ms"))
            };
            eprintln!(
                "{passed:>5} s {:>5} people {:>6} requests/s {:>4} failed {:>7} orders \
                 accepted   p50 {:>8}   p99 {:>8}",
                second.users,
                second.requests,
                second.failures,
                second.accepted,
                time(second.p50),
                time(second.p99),
            );
        }
        Note::Ended { .. } => eprintln!("the load has ended"),
        Note::Counted { .. } => {
            eprintln!("the journal is compared with the store, when nothing is under way any more");
        }
        Note::Reconciled { result } => eprintln!("{} differences", result.differences.len()),
    }
}

fn collect(notes: Vec<Note>) -> anyhow::Result<Run> {
    let (mut seconds, mut quiet_from, mut begun, mut ended) = (Vec::new(), None, None, None);
    let (mut counted, mut reconciled) = (None, None);
    for note in notes {
        match note {
            Note::Prepared { at } => quiet_from = Some(at),
            Note::Begun { at } => begun = Some(at),
            Note::Second(second) => seconds.push(second),
            Note::Ended { at } => ended = Some(at),
            Note::Counted {
                at,
                locust,
                gateway,
            } => counted = Some((at, locust, gateway)),
            Note::Reconciled { result } => reconciled = Some(result),
        }
    }
    let (quiet_until, locust, gateway) = counted.context("it did not come to its end")?;
    Ok(Run {
        quiet_from: quiet_from.context("it opened no shop")?,
        begun: begun.context("it did not begin")?,
        ended: ended.context("it did not end")?,
        quiet_until,
        seconds,
        locust,
        gateway,
        reconciled: reconciled.context("the journal was not compared with the store")?,
    })
}

/// The end of a log.
fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}
