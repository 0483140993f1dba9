//! The result of a check, as text and as JSON.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::invariants::INVARIANTS;

/// How many findings of an invariant the text shows.
const SHOWN_FINDINGS_MAX: usize = 10;

/// Something that contradicts an invariant for good, or while something is under way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    #[serde(skip)]
    pub invariant: u8,
    pub what: String,
    pub id: String,
    pub detail: String,
    /// Since when it is under way; `None` for a violation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
}

impl Finding {
    pub fn violation(invariant: u8, what: impl Into<String>, id: String, detail: String) -> Self {
        Self {
            invariant,
            what: what.into(),
            id,
            detail,
            since: None,
        }
    }

    pub fn unsettled(
        invariant: u8,
        what: impl Into<String>,
        id: String,
        detail: String,
        since: DateTime<Utc>,
    ) -> Self {
        Self {
            since: Some(since),
            ..Self::violation(invariant, what, id, detail)
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Clean,
    /// Something is under way, and there is no violation.
    NotSettled,
    Violated,
}

impl Outcome {
    /// The command's exit code. 2 is missing: it means that the command could not check.
    pub fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Violated => 1,
            Self::NotSettled => 3,
        }
    }
}

/// The result for one invariant.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    pub number: u8,
    pub name: &'static str,
    pub statement: &'static str,
    pub outcome: Outcome,
    pub violations: Vec<Finding>,
    pub not_settled: Vec<Finding>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub outcome: Outcome,
    /// The latest of the databases' instants.
    pub at: DateTime<Utc>,
    /// Why less was proved than usual, such as that Kafka did not answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    pub invariants: Vec<Verdict>,
}

impl Report {
    pub fn new(at: DateTime<Utc>, notes: Vec<String>, findings: Vec<Finding>) -> Self {
        let mut invariants: Vec<Verdict> = INVARIANTS
            .iter()
            .map(|invariant| Verdict {
                number: invariant.number,
                name: invariant.name,
                statement: invariant.statement,
                outcome: Outcome::Clean,
                violations: Vec::new(),
                not_settled: Vec::new(),
            })
            .collect();
        for finding in findings {
            let verdict = &mut invariants[usize::from(finding.invariant) - 1];
            let (outcome, list) = match finding.since {
                None => (Outcome::Violated, &mut verdict.violations),
                Some(_) => (Outcome::NotSettled, &mut verdict.not_settled),
            };
            verdict.outcome = verdict.outcome.max(outcome);
            list.push(finding);
        }
        for verdict in &mut invariants {
            verdict.not_settled.sort_by_key(|finding| finding.since);
        }
        let outcome = invariants
            .iter()
            .map(|verdict| verdict.outcome)
            .max()
            .unwrap_or(Outcome::Clean);
        Self {
            outcome,
            at,
            notes,
            invariants,
        }
    }

    pub fn violations(&self) -> impl Iterator<Item = &Finding> {
        self.invariants
            .iter()
            .flat_map(|verdict| &verdict.violations)
    }

    pub fn not_settled(&self) -> impl Iterator<Item = &Finding> {
        self.invariants
            .iter()
            .flat_map(|verdict| &verdict.not_settled)
    }

    /// The report as text: a line for each invariant and for each finding.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for verdict in &self.invariants {
            let outcome = match verdict.outcome {
                Outcome::Clean => "ok",
                Outcome::NotSettled => "not settled yet",
                Outcome::Violated => "VIOLATED",
            };
            line(
                &mut text,
                format_args!(
                    "{} {:<10}{outcome:<17}{}",
                    verdict.number, verdict.name, verdict.statement
                ),
            );
            list(&mut text, self.at, &verdict.violations);
            list(&mut text, self.at, &verdict.not_settled);
        }
        for note in &self.notes {
            line(&mut text, format_args!("note: {note}"));
        }
        let (violations, not_settled) = (self.violations().count(), self.not_settled().count());
        let summary = match self.outcome {
            Outcome::Clean => "clean".to_owned(),
            Outcome::NotSettled => {
                format!("not settled yet: {not_settled} under way, no violation")
            }
            Outcome::Violated => format!("{violations} violations, {not_settled} under way"),
        };
        line(&mut text, format_args!("{summary}"));
        text
    }
}

/// Adds a line for each of the first findings of a check at the instant `at`.
pub fn list(text: &mut String, at: DateTime<Utc>, findings: &[Finding]) {
    for finding in findings.iter().take(SHOWN_FINDINGS_MAX) {
        let Finding {
            what, id, detail, ..
        } = finding;
        let age = finding
            .since
            .map(|since| format!(", for {} s", (at - since).num_seconds().max(0)))
            .unwrap_or_default();
        line(text, format_args!("    {what}: {id} ({detail}){age}"));
    }
    if findings.len() > SHOWN_FINDINGS_MAX {
        line(
            text,
            format_args!(
                "    and {} more; --json lists all",
                findings.len() - SHOWN_FINDINGS_MAX
            ),
        );
    }
}

pub fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    writeln!(text, "{content}").expect("a string takes all that is written to it");
}
