//! All events in one list: for topics, schemas, and rules that hold for each event.

pub use crate::entry::Entry;

/// Every event, by producer.
pub fn all() -> Vec<Entry> {
    [
        crate::users::entries(),
        crate::billing::entries(),
        crate::orders::entries(),
        crate::warehouse::entries(),
        crate::delivery::entries(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Every topic, without a prefix.
pub const TOPICS: [&str; 5] = [
    crate::users::TOPIC,
    crate::billing::TOPIC,
    crate::orders::TOPIC,
    crate::warehouse::TOPIC,
    crate::delivery::TOPIC,
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn every_event_has_its_schema_checked_in() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
        let update = std::env::var_os("UPDATE_SCHEMAS").is_some();
        let mut wrong = Vec::new();
        for entry in all() {
            let file = folder.join(format!("{}.json", entry.event_type));
            let schema = serde_json::to_string_pretty(&entry.schema()).unwrap() + "\n";
            if update {
                fs::create_dir_all(&folder).unwrap();
                fs::write(&file, schema).unwrap();
            } else if fs::read_to_string(&file).ok().as_deref() != Some(&schema) {
                wrong.push(entry.event_type);
            }
        }
        assert!(
            wrong.is_empty(),
            "schemas differ from the types; if that is meant, run with UPDATE_SCHEMAS=1: {wrong:?}"
        );
        let files = fs::read_dir(&folder).unwrap().count();
        assert_eq!(files, all().len(), "a schema file without an event");
    }

    #[test]
    fn types_are_unique_and_named_after_their_topic() {
        let all = all();
        let types: BTreeSet<_> = all.iter().map(|entry| entry.event_type).collect();
        assert_eq!(types.len(), all.len());
        for entry in all {
            assert!(TOPICS.contains(&entry.topic));
            assert!(
                entry.event_type.starts_with(&format!("{}.", entry.topic)),
                "{}",
                entry.event_type
            );
            let version = entry
                .event_type
                .rsplit_once(".v")
                .and_then(|(_, version)| version.parse::<u32>().ok());
            assert!(version.is_some(), "{}", entry.event_type);
        }
    }
}
