//! The promtool tests of the burn-rate alerts: for each objective a fast burn that pages, a slow
//! one that only makes a ticket, and a share of bad events within the budget, which fires no alert.

use serde::Serialize;

use super::{Annotations, Labels};
use crate::Objective;

#[derive(Serialize)]
struct File {
    rule_files: [&'static str; 2],
    evaluation_interval: &'static str,
    tests: Vec<Test>,
}

#[derive(Serialize)]
struct Test {
    name: String,
    interval: &'static str,
    input_series: Vec<Series>,
    #[serde(rename = "alert_rule_test")]
    expected: Vec<Expected>,
}

#[derive(Serialize)]
struct Series {
    #[serde(rename = "series")]
    selector: String,
    values: String,
}

#[derive(Serialize)]
struct Expected {
    eval_time: &'static str,
    alertname: &'static str,
    exp_alerts: Vec<Alert>,
}

#[derive(Serialize)]
struct Alert {
    exp_labels: Labels,
    exp_annotations: Annotations,
}

/// The burn rate: far above 14.4, between 1 and 6, and half of what is allowed.
const FAST: f64 = 20.0;
const SLOW: f64 = 4.0;
const QUIET: f64 = 0.5;

/// The file `tests/slo.yaml`.
pub fn file(objectives: &[Objective]) -> String {
    let tests = objectives.iter().flat_map(|objective| {
        [
            test(
                objective,
                FAST,
                "burns fast",
                &["SloBurnsFast", "SloBurnsSlowly"],
            ),
            test(objective, SLOW, "burns slowly", &["SloBurnsSlowly"]),
            test(objective, QUIET, "does not burn", &[]),
        ]
    });
    let file = File {
        rule_files: ["../rules/slo.yaml", "../rules/alerts.yaml"],
        evaluation_interval: "1m",
        tests: tests.collect(),
    };
    let yaml = serde_yaml_ng::to_string(&file).expect("tests are text");
    format!("# Generated from grafana/slo by `cargo run -p slo`.\n{yaml}")
}

fn test(objective: &Objective, times: f64, what: &str, firing: &[&str]) -> Test {
    let bad = (times * objective.budget()).min(1.0);
    let expected = super::BURNS.iter().map(|burn| {
        let fires = firing.contains(&burn.alert).then(|| Alert {
            exp_labels: Labels {
                severity: Some(burn.severity),
                layer: Some("symptom"),
                ..super::labels(objective)
            },
            exp_annotations: Annotations::of(objective),
        });
        Expected {
            eval_time: "65m",
            alertname: burn.alert,
            exp_alerts: fires.into_iter().collect(),
        }
    });
    Test {
        name: format!("{} {what}", objective.name),
        interval: "1m",
        input_series: series(&objective.name, times, bad),
        expected: expected.collect(),
    }
}

/// The series of a store with such a share of bad events. A test fails for an objective that has
/// none.
fn series(objective: &str, times: f64, bad: f64) -> Vec<Series> {
    const EVENTS: f64 = 10_000.0;
    let counter = |selector: &str, a_minute: f64| Series {
        selector: selector.to_owned(),
        values: format!("0+{}x70", a_minute.round()),
    };
    let histogram = |metric: &str, labels: &str, edge: &str| {
        let comma = if labels.is_empty() { "" } else { "," };
        vec![
            counter(&format!("{metric}_count{{{labels}}}"), EVENTS),
            counter(
                &format!("{metric}_bucket{{{labels}{comma}le=\"{edge}\"}}"),
                EVENTS * (1.0 - bad),
            ),
        ]
    };
    let requests = "method=\"GET\",route=\"/api/goods\"";
    let order = "method=\"POST\",route=\"/api/orders\"";
    match objective {
        "availability" => vec![
            counter(
                &format!("tovar_gateway_requests_total{{{requests},status=\"2xx\"}}"),
                EVENTS * (1.0 - bad),
            ),
            counter(
                &format!("tovar_gateway_requests_total{{{requests},status=\"5xx\"}}"),
                EVENTS * bad / 2.0,
            ),
            counter(
                &format!(
                    "tovar_gateway_requests_total{{{requests},\
                     status=\"unreachable\"}}"
                ),
                EVENTS * bad / 2.0,
            ),
        ],
        "reads" => histogram("tovar_gateway_request_duration_seconds", requests, "0.25"),
        "placing" => histogram("tovar_gateway_request_duration_seconds", order, "1.0"),
        "outbox-latency" => histogram(
            "tovar_relay_insert_to_ack_seconds",
            "service=\"orders\"",
            "2.0",
        ),
        "event-age" => histogram(
            "tovar_inbox_event_age_seconds",
            "service=\"orders\",type=\"t\"",
            "10.0",
        ),
        "orders-30s" | "orders-5m" => {
            let edge = if objective == "orders-5m" {
                "300.0"
            } else {
                "30.0"
            };
            vec![
                counter("tovar_orders_placed_total{service=\"orders\"}", EVENTS),
                counter(
                    &format!(
                        "tovar_orders_shipped_or_ended_seconds_bucket\
                         {{service=\"orders\",le=\"{edge}\"}}"
                    ),
                    EVENTS * (1.0 - bad),
                ),
            ]
        }
        "outbox-freshness" => freshness(times),
        _ => Vec::new(),
    }
}

/// The series of an outbox whose oldest event is too old: for the last half hour, for a minute
/// before that, or never.
fn freshness(times: f64) -> Vec<Series> {
    let values = if times >= FAST {
        "1x35 60x34"
    } else if times >= SLOW {
        "1x19 60 1x50"
    } else {
        "1x70"
    };
    let series = |metric: &str, values: &str| Series {
        selector: format!("{metric}{{process=\"service\",service=\"orders\"}}"),
        values: values.to_owned(),
    };
    vec![
        series("tovar_outbox_oldest_age_seconds", values),
        series("tovar_readings_age_seconds", "1x70"),
    ]
}
