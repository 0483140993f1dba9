//! The report of a load: as text, as JSON, and as a page with graphs that needs no other file.

use std::{fmt::Write, fs, path::Path};

use anyhow::Context;
use chrono::DateTime;
use serde::Serialize;
use serde_json::Value;

use super::{
    boards::Shown,
    locust::Run,
    record::{Counted, Reconciled, Second},
};
use crate::verify;

/// The page, in which the report replaces `REPORT`.
const PAGE: &str = include_str!("report.html");

#[derive(Serialize)]
pub struct LoadReport {
    outcome: &'static str,
    store: String,
    began: String,
    lasted_seconds: f64,
    users: u32,
    /// The same minute from three sources: Locust, the gateway's counters, and the board.
    sources: Sources,
    reconciliation: Reconciled,
    /// `None` if the databases cannot be reached.
    verify: Option<verify::Report>,
    seconds: Vec<Second>,
}

#[derive(Serialize)]
struct Sources {
    locust: Counted,
    gateway: Option<Value>,
    board: Shown,
    /// The gateway's count minus Locust's. Of requests whose connection was cut, the gateway counts
    /// only those that it answered.
    gateway_more_requests: Option<i64>,
    gateway_more_errors: Option<i64>,
}

impl LoadReport {
    pub fn new(
        store: &str,
        users: u32,
        run: Run,
        board: Shown,
        verify: Option<verify::Report>,
    ) -> Self {
        let verified = verify.as_ref().map_or(0, |report| report.outcome.code());
        let outcome = match (run.reconciled.differences.is_empty(), verified) {
            (false, _) => "the store contradicts the journal",
            (true, 0) if verify.is_none() => "journal and store agree; verify was not run",
            (true, 0) => "journal and store agree, and verify is clean",
            (true, 1) => "journal and store agree, and verify found a violation",
            (true, _) => "journal and store agree, and something is not settled yet",
        };
        let more = |what: &str, locust: u64| {
            let gateway = run.gateway.as_ref()?[what].as_i64()?;
            Some(gateway - i64::try_from(locust).ok()?)
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "milliseconds since 1970 fit"
        )]
        let began = DateTime::from_timestamp_millis((run.begun * 1e3) as i64).unwrap_or_default();
        Self {
            outcome,
            store: store.to_owned(),
            began: began.to_rfc3339(),
            lasted_seconds: run.ended - run.begun,
            users,
            sources: Sources {
                gateway_more_requests: more("requests", run.locust.requests),
                gateway_more_errors: more("errors", run.locust.errors),
                locust: run.locust,
                gateway: run.gateway,
                board,
            },
            reconciliation: run.reconciled,
            verify,
            seconds: run.seconds,
        }
    }

    /// The command's exit code.
    pub fn code(&self) -> u8 {
        if !self.reconciliation.differences.is_empty() {
            return 1;
        }
        self.verify
            .as_ref()
            .map_or(0, |report| report.outcome.code())
    }

    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report is JSON")
    }

    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        // No text in the report may end the script element that contains it.
        let page = PAGE.replace("REPORT", &self.json().replace("</", "<\\/"));
        for (name, text) in [("report.json", self.json()), ("report.html", page)] {
            let path = folder.join(name);
            fs::write(&path, text)
                .with_context(|| format!("{} cannot be written", path.display()))?;
        }
        Ok(())
    }

    pub fn text(&self) -> String {
        let mut text = format!(
            "\n{} people used {} for {:.0} s\n\n",
            self.users, self.store, self.lasted_seconds
        );
        self.sources.show(&mut text);
        let Reconciled {
            differences,
            checked,
            orders,
            reasons,
            mishaps,
        } = &self.reconciliation;
        for (title, counts) in [
            ("orders", orders),
            ("reasons", reasons),
            ("checked", checked),
            ("on the way", mishaps),
        ] {
            let counts = counts.as_object().into_iter().flatten();
            let counts: Vec<String> = counts
                .map(|(what, count)| format!("{count} {what}"))
                .collect();
            line(&mut text, format_args!("{title:<12}{}", counts.join(", ")));
        }
        for difference in differences {
            line(&mut text, format_args!("DIFFERENCE  {difference}"));
        }
        if let Some(verified) = &self.verify {
            line(&mut text, format_args!("\n{}", verified.text()));
        }
        line(&mut text, format_args!("{}", self.outcome));
        text
    }
}

impl Sources {
    fn show(&self, text: &mut String) {
        let number = |value: Option<f64>| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"))
        };
        let time = |value: Option<f64>| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{:.1} ms", value * 1e3))
        };
        let gateway = |what: &str| {
            number(
                self.gateway
                    .as_ref()
                    .and_then(|gateway| gateway[what].as_f64()),
            )
        };
        let p99 = self.gateway.as_ref().map_or_else(
            || "-".to_owned(),
            |gateway| format!("{} to {} s", gateway["p99_above"], gateway["p99_up_to"]),
        );
        let board = &self.board;
        line(
            text,
            format_args!("{:<12}{:>16}{:>16}{:>16}", "", "Locust", "gateway", "board"),
        );
        for (what, locust, gateway, board) in [
            (
                "requests",
                self.locust.requests.to_string(),
                gateway("requests"),
                number(board.requests),
            ),
            (
                "with 5xx",
                self.locust.errors.to_string(),
                gateway("errors"),
                number(board.errors),
            ),
            ("p99", time(Some(self.locust.p99)), p99, time(board.p99)),
        ] {
            line(
                text,
                format_args!("{what:<12}{locust:>16}{gateway:>16}{board:>16}"),
            );
        }
        if let Some(why) = board.missing {
            line(text, format_args!("no board: {why}"));
        }
        line(text, format_args!(""));
    }
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    writeln!(text, "{content}").expect("a string takes all that is written to it");
}
