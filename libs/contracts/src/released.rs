//! Events that an earlier release wrote may still lie in a topic, in an outbox or among parked
//! events. Their schemas are kept under `released/<version>/`, and today's types must read them.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::{Map, Value, json};

use crate::catalogue::{Entry, all};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("released")
}

/// The schemas of each kept release, by version and by the event's type.
fn releases() -> BTreeMap<String, BTreeMap<String, Value>> {
    let mut releases = BTreeMap::new();
    for version in fs::read_dir(folder()).unwrap() {
        let version = version.unwrap();
        let schemas: &mut BTreeMap<String, Value> = releases
            .entry(version.file_name().into_string().unwrap())
            .or_default();
        for file in fs::read_dir(version.path()).unwrap() {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            let schema = serde_json::from_str(&fs::read_to_string(file.path()).unwrap()).unwrap();
            schemas.insert(name.trim_end_matches(".json").to_owned(), schema);
        }
    }
    releases
}

/// Values of a schema: the first with all that it may have, one for each other choice that it
/// leaves, and the last with nothing but what it must have.
fn samples(schema: &Value, root: &Value) -> Vec<Value> {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.trim_start_matches("#/$defs/");
        return samples(&root["$defs"][name], root);
    }
    if let Some(value) = schema.get("const") {
        return vec![value.clone()];
    }
    for choices in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[choices].as_array() {
            return choices
                .iter()
                .flat_map(|choice| samples(choice, root))
                .collect();
        }
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.clone();
    }
    match &schema["type"] {
        Value::Array(types) => {
            let of = |one: &Value| {
                let mut schema = schema.clone();
                schema["type"] = one.clone();
                samples(&schema, root)
            };
            types.iter().flat_map(of).collect()
        }
        Value::String(one) => of_type(one, schema, root),
        other => panic!("a type that no sample is made of: {other}"),
    }
}

fn of_type(one: &str, schema: &Value, root: &Value) -> Vec<Value> {
    match one {
        "null" => vec![Value::Null],
        "boolean" => vec![json!(true), json!(false)],
        "integer" => vec![json!(2)],
        "string" => vec![text(schema)],
        "array" => vec![json!(samples(&schema["items"], root))],
        "object" => objects(schema, root),
        other => panic!("a type that no sample is made of: {other}"),
    }
}

fn text(schema: &Value) -> Value {
    match (schema["format"].as_str(), schema["pattern"].as_str()) {
        (Some("uuid"), _) => json!("01a21fdf-d805-7181-8baf-2a3dcecb5f2d"),
        (Some("date-time"), _) => json!("2026-11-28T01:58:13.435012Z"),
        (Some(other), _) => panic!("a format that no sample is made of: {other}"),
        (None, Some("^[A-Z]{3}$")) => json!("EUR"),
        (None, _) => json!("tea-green-100g"),
    }
}

fn objects(schema: &Value, root: &Value) -> Vec<Value> {
    let empty = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&empty);
    let choices: Vec<(&String, Vec<Value>)> = properties
        .iter()
        .map(|(name, property)| (name, samples(property, root)))
        .collect();
    let whole: Map<String, Value> = choices
        .iter()
        .map(|(name, values)| ((*name).clone(), values[0].clone()))
        .collect();
    let mut made = vec![whole.clone()];
    for (name, values) in &choices {
        for value in &values[1..] {
            let mut other = whole.clone();
            other.insert((*name).clone(), value.clone());
            made.push(other);
        }
    }
    let must: Vec<&str> = required(schema);
    let mut least = whole;
    least.retain(|name, _| must.contains(&name.as_str()));
    made.push(least);
    made.into_iter().map(Value::Object).collect()
}

fn required(schema: &Value) -> Vec<&str> {
    let names = schema["required"].as_array().into_iter().flatten();
    names.filter_map(Value::as_str).collect()
}

/// Where `now` says something else than `before` said, or says it no more.
fn lost(before: &Value, now: &Value, at: &str) -> Vec<String> {
    match (before, now) {
        (Value::Object(before), Value::Object(now)) => before
            .iter()
            .flat_map(|(name, value)| {
                let at = format!("{at}.{name}");
                match now.get(name) {
                    Some(now) => lost(value, now, &at),
                    None => vec![format!("{at} is passed over")],
                }
            })
            .collect(),
        (Value::Array(before), Value::Array(now)) if before.len() == now.len() => before
            .iter()
            .zip(now)
            .flat_map(|(before, now)| lost(before, now, at))
            .collect(),
        _ if before == now => Vec::new(),
        _ => vec![format!("{at} was {before} and is read as {now}")],
    }
}

/// What is wrong with today's type of an event of an earlier release.
fn faults(version: &str, event_type: &str, schema: &Value, now: Option<&Entry>) -> Vec<String> {
    let Some(now) = now else {
        return vec![format!(
            "{event_type} of release {version} is no event any more: its topic may still hold \
             some. Keep the type until no topic, outbox or parked event can have one"
        )];
    };
    let mut faults = Vec::new();
    for sample in samples(schema, schema) {
        match now.read_and_write(&sample) {
            Err(error) => faults.push(format!(
                "{event_type} of release {version} cannot be read: {error}. Give a new field \
                 #[serde(default)], keep each value of an enum, or make a new type of event. It \
                 was {sample}"
            )),
            Ok(read) => faults.extend(lost(&sample, &read, event_type).into_iter().map(|lost| {
                format!(
                    "{lost}, which release {version} wrote: keep the field and its meaning, or \
                     make a new type of event"
                )
            })),
        }
    }
    let today = now.schema().to_value();
    for name in required(schema) {
        if !required(&today).contains(&name) {
            faults.push(format!(
                "{event_type}.{name} may be left out, and readers of release {version} park an \
                 event without it: keep it required, or make a new type of event"
            ));
        }
    }
    faults
}

#[test]
fn events_of_earlier_releases_are_read_as_they_were_meant() {
    let all = all();
    if std::env::var_os("KEEP_SCHEMAS").is_some() {
        let folder = folder().join(env!("CARGO_PKG_VERSION"));
        fs::create_dir_all(&folder).unwrap();
        for entry in &all {
            let schema = serde_json::to_string_pretty(&entry.schema()).unwrap() + "\n";
            fs::write(folder.join(format!("{}.json", entry.event_type)), schema).unwrap();
        }
    }
    let releases = releases();
    assert!(
        !releases.is_empty(),
        "no release is kept: KEEP_SCHEMAS=1 keeps this one"
    );
    let mut wrong = Vec::new();
    for (version, schemas) in &releases {
        for (event_type, schema) in schemas {
            let now = all.iter().find(|entry| entry.event_type == event_type);
            wrong.extend(faults(version, event_type, schema, now));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

mod changes {
    //! What is no change that an event of an earlier release lives through.

    use kernel::Event;
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use super::*;

    macro_rules! version {
        ($name:ident $body:tt) => {
            #[derive(Serialize, Deserialize, JsonSchema)]
            struct $name $body
            impl Event for $name {
                const TYPE: &'static str = "test.told.v1";
                const TOPIC: &'static str = "test";
                fn key(&self) -> String {
                    String::new()
                }
            }
        };
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Why {
        Late,
        Lost,
    }
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum FewerWhy {
        Late,
    }

    version! { Before { who: String, why: Why, note: Option<String> } }
    version! { FieldAdded { who: String, why: Why, note: Option<String>, at: u32 } }
    version! { FieldRenamed { person: Option<String>, why: Why, note: Option<String> } }
    version! { ValueGone { who: String, why: FewerWhy, note: Option<String> } }
    version! { MayBeLeftOut { who: Option<String>, why: Why, note: Option<String> } }
    version! { OtherMeaning { who: String, why: Why, note: Option<u32> } }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct DefaultAdded {
        who: String,
        why: Why,
        note: Option<String>,
        #[serde(default)]
        at: u32,
    }
    impl Event for DefaultAdded {
        const TYPE: &'static str = "test.told.v1";
        const TOPIC: &'static str = "test";
        fn key(&self) -> String {
            String::new()
        }
    }

    fn judged<E: Event + JsonSchema>() -> String {
        let before = Entry::of::<Before>().schema().to_value();
        faults("1.0.0", "test.told.v1", &before, Some(&Entry::of::<E>())).join("\n")
    }

    #[test]
    fn what_breaks_an_earlier_event_is_named_with_what_to_do() {
        assert_eq!(judged::<Before>(), "");
        assert_eq!(judged::<DefaultAdded>(), "");
        for (judged, said) in [
            (judged::<FieldAdded>(), "missing field `at`"),
            (judged::<FieldRenamed>(), "test.told.v1.who is passed over"),
            (judged::<ValueGone>(), "unknown variant `lost`"),
            (judged::<MayBeLeftOut>(), "test.told.v1.who may be left out"),
            (judged::<OtherMeaning>(), "cannot be read"),
        ] {
            assert!(judged.contains(said), "{said}: {judged}");
            assert!(judged.contains("make a new type of event"), "{judged}");
        }
        let before = Entry::of::<Before>().schema().to_value();
        let gone = faults("1.0.0", "test.told.v1", &before, None);
        assert!(gone[0].contains("is no event any more"), "{gone:?}");
    }
}
