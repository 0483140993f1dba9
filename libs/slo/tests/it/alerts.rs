use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_yaml_ng::Value;

use crate::{is_installed, run};

fn read(path: &str) -> Value {
    serde_yaml_ng::from_str(&fs::read_to_string(slo::folder().join(path)).unwrap()).unwrap()
}

fn list<'v>(of: &'v Value, name: &str) -> Vec<&'v Value> {
    of[name].as_sequence().into_iter().flatten().collect()
}

fn text<'v>(of: &'v Value, name: &str) -> &'v str {
    of[name].as_str().unwrap_or_default()
}

/// Every alerting rule, generated or not.
fn rules(files: &[Value]) -> Vec<&Value> {
    let groups = files.iter().flat_map(|file| list(file, "groups"));
    groups
        .flat_map(|group| list(group, "rules"))
        .filter(|rule| rule["alert"].is_string())
        .collect()
}

/// An alert by name, and by objective where there is one for each.
fn name(alert: &str, slo: &str) -> String {
    if slo.is_empty() {
        alert.to_owned()
    } else {
        format!("{alert} of {slo}")
    }
}

#[test]
fn the_rules_can_be_read_and_pass_their_tests() {
    if is_installed("promtool", "prometheus") {
        run(
            "promtool",
            &["check", "rules", "rules/alerts.yaml", "rules/slo.yaml"],
        );
        run(
            "promtool",
            &["check", "config", "--syntax-only", "prometheus.yml"],
        );
        run(
            "promtool",
            &["test", "rules", "tests/alerts.yaml", "tests/slo.yaml"],
        );
    }
}

#[test]
fn every_alert_has_a_test_that_makes_it_fire_and_one_that_does_not() {
    let files = [read("rules/alerts.yaml"), read("rules/slo.yaml")];
    let mut firing = BTreeSet::new();
    let mut silent = BTreeSet::new();
    for file in [read("tests/alerts.yaml"), read("tests/slo.yaml")] {
        for one in list(&file, "tests") {
            // The tests of objectives test one alert at a time, whose name is the beginning of
            // theirs.
            let about = text(one, "name").split(' ').next().unwrap();
            for expected in list(one, "alert_rule_test") {
                let alert = text(expected, "alertname");
                let slo = if alert.starts_with("SloBurns") {
                    about
                } else {
                    ""
                };
                let set = if list(expected, "exp_alerts").is_empty() {
                    &mut silent
                } else {
                    &mut firing
                };
                set.insert(name(alert, slo));
            }
        }
    }
    for rule in rules(&files) {
        let alert = name(text(rule, "alert"), text(&rule["labels"], "slo"));
        assert!(firing.contains(&alert), "no test makes {alert} fire");
        assert!(
            silent.contains(&alert),
            "no test shows when {alert} does not fire"
        );
    }
}

#[test]
fn every_alert_says_how_urgent_it_is_what_it_follows_from_and_what_to_do() {
    let files = [read("rules/alerts.yaml"), read("rules/slo.yaml")];
    let root = slo::folder().join("..");
    let mut pages = BTreeMap::<String, String>::new();
    for rule in rules(&files) {
        let alert = text(rule, "alert");
        let (labels, told) = (&rule["labels"], &rule["annotations"]);
        assert!(
            ["page", "ticket"].contains(&text(labels, "severity")),
            "{alert}"
        );
        let layers = [
            "infrastructure",
            "pipeline",
            "parked",
            "symptom",
            "fact",
            "security",
        ];
        assert!(layers.contains(&text(labels, "layer")), "{alert}");
        assert!(
            !text(told, "summary").is_empty() && !text(told, "description").is_empty(),
            "{alert}"
        );
        let (page, section) = text(told, "runbook_url").split_once('#').unwrap();
        let page = pages
            .entry(page.to_owned())
            .or_insert_with(|| fs::read_to_string(root.join(page)).unwrap());
        // The anchor of a Markdown heading.
        let headings = page
            .lines()
            .filter_map(|line| line.strip_prefix("## ").or(line.strip_prefix("### ")));
        let mut links =
            headings.map(|heading| heading.to_lowercase().replace(": ", "-").replace(' ', "-"));
        assert!(
            links.any(|link| link == section),
            "{alert} has no runbook: {section}"
        );
    }
}
