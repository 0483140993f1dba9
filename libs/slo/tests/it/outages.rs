//! What a store showed in real outages, recorded and stretched in time: each raises its alert, and
//! Alertmanager leaves one page of all that fire.

use std::{fs, process::Command};

use serde_yaml_ng::{Mapping, Value};

use crate::{inhibition, is_installed};

/// The last moment of every recording: 35 s, of which each is a quarter of a minute.
const END: &str = "8m30s";

/// The labels of every alert that fires at the end of a recording, as amtool takes them.
fn firing(outage: &str) -> Vec<String> {
    let folder = slo::folder().join("tests/outages");
    let text = fs::read_to_string(folder.join(format!("{outage}.yaml"))).unwrap();
    let mut file: Value = serde_yaml_ng::from_str(&text).unwrap();
    let alerts = ["alerts.yaml", "slo.yaml"]
        .map(|name| fs::read_to_string(slo::folder().join("rules").join(name)).unwrap());
    let mut names: Vec<&str> = alerts
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    names.sort_unstable();
    names.dedup();
    // promtool only compares: so the test expects nothing, and promtool prints what it found.
    let expected = names.into_iter().map(|name| {
        let pairs = [("eval_time", END), ("alertname", name)];
        Value::Mapping(
            pairs
                .map(|(key, value)| (key.into(), value.into()))
                .into_iter()
                .collect::<Mapping>(),
        )
    });
    file["tests"][0]["alert_rule_test"] = Value::Sequence(expected.collect());
    let asked = folder.join(format!(".{outage}-{}.yaml", std::process::id()));
    fs::write(&asked, serde_yaml_ng::to_string(&file).unwrap()).unwrap();
    let answer = Command::new("promtool")
        .args(["test", "rules"])
        .arg(&asked)
        .output()
        .unwrap();
    fs::remove_file(&asked).unwrap();
    let said = [answer.stdout, answer.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("SUCCESS") || said.contains("got:["), "{said}");
    said.lines()
        .filter_map(|line| line.trim().strip_prefix("Labels:{")?.strip_suffix('}'))
        .map(|labels| labels.replace(", ", "\n"))
        .collect()
}

fn is_one_page(outage: &str, cause: &str) {
    if !is_installed("promtool", "prometheus") {
        return;
    }
    let firing = firing(outage);
    let about_cause = format!("alertname=\"{cause}\"");
    assert!(
        firing.iter().any(|alert| alert.contains(&about_cause)),
        "{outage}: {firing:#?}"
    );
    let alerts: Vec<&str> = firing.iter().map(String::as_str).collect();
    inhibition::leaves_one_page(outage, cause, &alerts);
}

#[test]
fn a_stopped_relay() {
    is_one_page("a-stopped-relay", "RelayStopped");
}

#[test]
fn a_stopped_kafka() {
    is_one_page("a-stopped-Kafka", "KafkaAway");
}

#[test]
fn a_broken_invariant() {
    is_one_page("a-broken-invariant", "InvariantBroken");
}

#[test]
fn a_slow_database() {
    is_one_page("a-slow-database", "DatabaseSlow");
}

#[test]
fn a_stuck_saga() {
    is_one_page("a-stuck-saga", "OrdersStandStill");
}

#[test]
fn a_refused_event() {
    is_one_page("a-refused-event", "EventRefused");
}
