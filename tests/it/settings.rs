//! No program takes or refuses a variable that it does not know: an operator who sets it believes
//! in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, CommandFactory};
use service_kit::{Service, ServiceSettings};

type Names = BTreeSet<String>;

fn variables(command: &clap::Command) -> Names {
    let names = command
        .get_arguments()
        .filter_map(|argument| argument.get_env());
    names
        .map(|name| name.to_str().unwrap().to_owned())
        .collect()
}

fn of_service<S: Service>() -> Names {
    variables(&ServiceSettings::<S::Settings>::augment_args(
        clap::Command::new(S::NAME),
    ))
}

/// The settings of each program.
fn programs() -> BTreeMap<&'static str, Names> {
    [
        ("users", of_service::<users::Users>()),
        ("billing", of_service::<billing::Billing>()),
        ("orders", of_service::<orders::Orders>()),
        ("warehouse", of_service::<warehouse::Warehouse>()),
        ("delivery", of_service::<delivery::Delivery>()),
        (
            "notifications",
            of_service::<notifications::Notifications>(),
        ),
        ("relay", variables(&outbox_relay::RelaySettings::command())),
        ("gateway", variables(&gateway::GatewaySettings::command())),
        ("topics", variables(&topics::TopicsSettings::command())),
    ]
    .into()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The words in capitals that follow `before` in a text.
fn named<'t>(text: &'t str, before: &str) -> impl Iterator<Item = &'t str> {
    text.split(before).skip(1).filter_map(|rest| {
        let is_of_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let end = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
        (end > 1).then(|| &rest[..end])
    })
}

#[test]
fn compose_gives_each_program_only_what_it_knows() {
    let programs = programs();
    let text = fs::read_to_string(root().join("compose.yaml")).unwrap();
    let services = text.split_once("\nservices:\n").unwrap().1;
    let mut checked = 0;
    let mut block = "";
    for line in services.lines() {
        if !line.starts_with("   ") && line.ends_with(':') {
            block = line.trim().trim_end_matches(':');
        }
        let program = if block.ends_with("-relay") {
            "relay"
        } else {
            block
        };
        let Some((name, _)) = line.trim_start().split_once(": ") else {
            continue;
        };
        let is_variable =
            line.starts_with("      ") && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        if let (true, Some(known)) = (is_variable, programs.get(program)) {
            assert!(known.contains(name), "compose.yaml gives {block} {name}");
            checked += 1;
        }
    }
    assert!(checked > 8, "{checked}");
    // The values that all services and all relays share.
    for name in [
        "KAFKA_BROKERS",
        "DATABASE_URL",
        "IDEMPOTENCY_SECRET",
        "JWKS_URL",
    ] {
        assert!(programs["orders"].contains(name), "{name}");
    }
    for name in ["KAFKA_BROKERS", "DATABASE_URL", "RELAY_SOURCE"] {
        assert!(programs["relay"].contains(name), "{name}");
    }
}

#[test]
fn charts_and_programs_that_start_others_give_only_what_one_of_them_knows() {
    let known: Names = programs().into_values().flatten().collect();
    let lib = "helm/tovar-lib/templates";
    let charts = [
        format!("{lib}/_service.tpl"),
        format!("{lib}/_kafka.tpl"),
        format!("{lib}/_pod.tpl"),
        format!("{lib}/_tls.tpl"),
        "helm/gateway/templates/pod.yaml".to_owned(),
        "helm/kafka/templates/topics.yaml".to_owned(),
    ];
    let mut found = Vec::new();
    for file in charts {
        let text = fs::read_to_string(root().join(&file)).unwrap();
        found.extend(named(&text, "name: ").map(|name| (file.clone(), name.to_owned())));
    }
    let postgres = fs::read_to_string(root().join(lib).join("_postgres.tpl")).unwrap();
    let ours = named(&postgres, "name: ").filter(|name| name.starts_with("DATABASE_"));
    found.extend(ours.map(|name| ("_postgres.tpl".to_owned(), name.to_owned())));
    let mut files = Vec::new();
    for folder in [
        "apps/tovar/src/bench",
        "apps/tovar/src/up",
        "apps/tovar/src/prove",
        "apps/tovar/src/demo",
        "outbox-relay/tests",
    ] {
        sources(&root().join(folder), &mut files);
    }
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for before in [".env(\"", ".with(\""] {
            found.extend(
                named(&text, before).map(|name| (file.display().to_string(), name.to_owned())),
            );
        }
    }
    assert!(found.len() > 30, "{found:?}");
    for (file, name) in found {
        assert!(
            known.contains(&name),
            "{file} gives {name}, which no program knows"
        );
    }
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs") {
            into.push(path);
        }
    }
}
