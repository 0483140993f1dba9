//! Recording rules and burn-rate alerts of every objective, as in the Site Reliability Workbook
//! (chapter 5, "Alerting on SLOs"): a long window shows that it matters, a short one that it still
//! goes on.

pub mod tests;

use serde::Serialize;

use crate::{Objective, spec::Sli};

/// How fast the budget of 30 days may burn, over which windows, before an alert fires.
pub struct Burn {
    pub alert: &'static str,
    pub severity: &'static str,
    /// The long window, the short window, and the burn rate: 1 uses up the budget in 30 days.
    pub windows: [(&'static str, &'static str, f64); 2],
    pub wait: &'static str,
}

pub const BURNS: [Burn; 2] = [
    Burn {
        alert: "SloBurnsFast",
        severity: "page",
        windows: [("1h", "5m", 14.4), ("6h", "30m", 6.0)],
        wait: "2m",
    },
    Burn {
        alert: "SloBurnsSlowly",
        severity: "ticket",
        windows: [("1d", "2h", 3.0), ("3d", "6h", 1.0)],
        wait: "15m",
    },
];

/// Where the runbooks are.
const RUNBOOKS: &str = "docs/runbooks.md";
/// The windows beyond the first are sums over its recordings: cheap, and weighted by events.
const FIRST: &str = "5m";
const WINDOWS: [&str; 7] = ["30m", "1h", "2h", "6h", "1d", "3d", "30d"];

#[derive(Serialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct Group {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<&'static str>,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Rule {
    Record {
        record: String,
        expr: String,
        labels: Labels,
    },
    Alert {
        alert: &'static str,
        expr: String,
        r#for: &'static str,
        labels: Labels,
        annotations: Annotations,
    },
}

#[derive(Clone, Serialize)]
struct Labels {
    slo: String,
    service: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<&'static str>,
}

#[derive(Serialize)]
struct Annotations {
    summary: String,
    description: String,
    runbook_url: String,
}

impl Annotations {
    fn of(objective: &Objective) -> Self {
        let Objective {
            name, description, ..
        } = objective;
        let percent = (objective.target * 1e5).round() / 1e3;
        Self {
            summary: format!("The error budget of {name} burns"),
            description: format!(
                "{description}: {percent} % over 30 days is promised, and \
                 what may be bad is used up too fast."
            ),
            runbook_url: format!("{RUNBOOKS}#slo-{name}"),
        }
    }
}

/// The file `rules/slo.yaml`.
pub fn file(objectives: &[Objective]) -> String {
    let groups = objectives.iter().flat_map(groups).collect();
    let yaml = serde_yaml_ng::to_string(&Groups { groups }).expect("rules are text");
    format!("# Generated from grafana/slo by `cargo run -p slo`; change it there.\n{yaml}")
}

fn groups(objective: &Objective) -> [Group; 2] {
    let name = &objective.name;
    [
        Group {
            name: format!("slo-{name}-recordings"),
            interval: Some("30s"),
            rules: recordings(objective),
        },
        Group {
            name: format!("slo-{name}-alerts"),
            interval: None,
            rules: BURNS.iter().map(|burn| alert(objective, burn)).collect(),
        },
    ]
}

fn labels(objective: &Objective) -> Labels {
    Labels {
        slo: objective.name.clone(),
        service: objective.service.clone(),
        severity: None,
        layer: None,
    }
}

fn recordings(objective: &Objective) -> Vec<Rule> {
    let slo = format!("{{slo=\"{}\"}}", objective.name);
    let record = |record: String, expr: String| Rule::Record {
        record,
        expr,
        labels: labels(objective),
    };
    let mut rules = vec![record(
        "slo:objective:ratio".to_owned(),
        format!("vector({})", objective.target),
    )];
    match &objective.sli {
        Sli::Events {
            error_query,
            total_query,
        } => {
            rules.push(record(
                format!("slo:errors:rate{FIRST}"),
                at(error_query, FIRST),
            ));
            rules.push(record(
                format!("slo:events:rate{FIRST}"),
                at(total_query, FIRST),
            ));
            let ratio = |errors: String, events: String| {
                // Without events the error rate is 0. It may be below zero, as an event counts as
                // bad until it is good.
                format!("clamp_min({errors} / ({events} > 0), 0) or 0 * {events}")
            };
            let (errors, events) = (
                format!("slo:errors:rate{FIRST}{slo}"),
                format!("slo:events:rate{FIRST}{slo}"),
            );
            rules.push(record(
                format!("slo:error_ratio:rate{FIRST}"),
                ratio(errors.clone(), events.clone()),
            ));
            for window in WINDOWS {
                let over = |series: &str| format!("sum_over_time({series}[{window}])");
                rules.push(record(
                    format!("slo:error_ratio:rate{window}"),
                    ratio(over(&errors), over(&events)),
                ));
            }
        }
        Sli::Raw { error_ratio_query } => {
            rules.push(record(
                format!("slo:error_ratio:rate{FIRST}"),
                at(error_ratio_query, FIRST),
            ));
            for window in WINDOWS {
                rules.push(record(
                    format!("slo:error_ratio:rate{window}"),
                    format!("avg_over_time(slo:error_ratio:rate{FIRST}{slo}[{window}])"),
                ));
            }
        }
    }
    rules.push(record(
        "slo:budget_left:ratio".to_owned(),
        format!("1 - slo:error_ratio:rate30d{slo} / {}", objective.budget()),
    ));
    rules
}

fn at(query: &str, window: &str) -> String {
    query.replace("{{.window}}", window)
}

fn alert(objective: &Objective, burn: &Burn) -> Rule {
    let name = &objective.name;
    let over = |window: &str, times: f64| {
        let limit = (times * objective.budget() * 1e9).round() / 1e9;
        format!("slo:error_ratio:rate{window}{{slo=\"{name}\"}} > {limit}")
    };
    let pairs = burn
        .windows
        .map(|(long, short, times)| format!("({} and {})", over(long, times), over(short, times)));
    Rule::Alert {
        alert: burn.alert,
        expr: pairs.join(" or "),
        r#for: burn.wait,
        labels: Labels {
            severity: Some(burn.severity),
            layer: Some("symptom"),
            ..labels(objective)
        },
        annotations: Annotations::of(objective),
    }
}
