//! The result of an audit, as text and as JSON.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

use crate::{
    operations::show::table_text,
    verify::{Finding, Outcome, report::list},
};

/// The result for one topic of a service.
#[derive(Clone, Default, Debug, Serialize)]
pub struct TopicAudit {
    pub service: &'static str,
    pub topic: String,
    /// The instant of the outbox.
    pub at: DateTime<Utc>,
    pub messages: usize,
    /// How many different events these messages have.
    pub events: usize,
    pub duplicates: usize,
    /// Rows of the outbox and of its parked events.
    pub retained: usize,
    /// Events that are older than what the outbox retains.
    pub only_on_topic: usize,
    /// Rows that are older than what the topic retains.
    pub only_in_outbox: usize,
    /// Events that an operator discarded.
    pub discarded: usize,
    /// Events that an operator discarded and replayed after later ones.
    pub replayed_late: usize,
    pub violations: Vec<Finding>,
    pub not_settled: Vec<Finding>,
}

impl TopicAudit {
    pub fn outcome(&self) -> Outcome {
        if !self.violations.is_empty() {
            Outcome::Violated
        } else if !self.not_settled.is_empty() {
            Outcome::NotSettled
        } else {
            Outcome::Clean
        }
    }

    /// Sorts by id, which is by time.
    pub fn sort(&mut self) {
        self.violations.sort_by(|one, other| one.id.cmp(&other.id));
        self.not_settled.sort_by(|one, other| one.id.cmp(&other.id));
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct AuditReport {
    pub outcome: Outcome,
    #[serde(serialize_with = "with_outcomes")]
    pub topics: Vec<TopicAudit>,
}

/// A topic in JSON.
#[derive(Serialize)]
struct WithOutcome<'t> {
    outcome: Outcome,
    #[serde(flatten)]
    topic: &'t TopicAudit,
}

fn with_outcomes<S: Serializer>(topics: &[TopicAudit], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(topics.iter().map(|topic| WithOutcome {
        outcome: topic.outcome(),
        topic,
    }))
}

impl AuditReport {
    pub fn new(topics: Vec<TopicAudit>) -> Self {
        let outcome = topics.iter().map(TopicAudit::outcome).max();
        Self {
            outcome: outcome.unwrap_or(Outcome::Clean),
            topics,
        }
    }

    /// The report as text: a line for each topic and for each finding.
    pub fn text(&self) -> String {
        let titles = [
            "service",
            "topic",
            "messages",
            "events",
            "duplicates",
            "retained",
            "only on topic",
            "only in outbox",
            "discarded",
            "replayed late",
            "",
        ];
        let row = |found: &TopicAudit| {
            let numbers = [
                found.messages,
                found.events,
                found.duplicates,
                found.retained,
                found.only_on_topic,
                found.only_in_outbox,
                found.discarded,
                found.replayed_late,
            ];
            let names = [found.service.to_owned(), found.topic.clone()];
            let outcome = match found.outcome() {
                Outcome::Clean => "ok",
                Outcome::NotSettled => "not settled yet",
                Outcome::Violated => "VIOLATED",
            };
            let cells = names
                .into_iter()
                .chain(numbers.map(|number| number.to_string()));
            cells.chain([outcome.to_owned()]).collect()
        };
        let mut text = table_text(&titles, &self.topics.iter().map(row).collect::<Vec<_>>());
        let (mut violations, mut not_settled) = (0, 0);
        for found in &self.topics {
            list(&mut text, found.at, &found.violations);
            list(&mut text, found.at, &found.not_settled);
            violations += found.violations.len();
            not_settled += found.not_settled.len();
        }
        let summary = match self.outcome {
            Outcome::Clean => "clean".to_owned(),
            Outcome::NotSettled => {
                format!("not settled yet: {not_settled} under way, no violation")
            }
            Outcome::Violated => format!("{violations} violations, {not_settled} under way"),
        };
        writeln!(text, "{summary}").expect("a string takes all that is written to it");
        text
    }

    pub fn violations(&self) -> impl Iterator<Item = &Finding> {
        self.topics.iter().flat_map(|topic| &topic.violations)
    }
}
