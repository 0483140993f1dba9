use std::{collections::BTreeSet, fs};

use serde_json::Value;

/// Every panel has what a viewer needs, and nothing that works on one Grafana only.
#[test]
fn every_panel_says_what_it_shows_and_asks_the_chosen_data_source() {
    for file in fs::read_dir(slo::folder().join("boards")).unwrap() {
        let board: Value =
            serde_json::from_slice(&fs::read(file.unwrap().path()).unwrap()).unwrap();
        let title = &board["title"];
        assert_eq!(
            board["templating"]["list"][0]["type"], "datasource",
            "{title}"
        );
        let mut ids = BTreeSet::new();
        let mut places = BTreeSet::new();
        for panel in board["panels"].as_array().unwrap() {
            let name = format!("{title} / {}", panel["title"]);
            assert!(
                ids.insert(panel["id"].as_u64().unwrap()),
                "{name}: an id twice"
            );
            let place = &panel["gridPos"];
            let at = |part: &str| place[part].as_u64().unwrap();
            assert!(at("x") + at("w") <= 24, "{name} is outside");
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    assert!(places.insert((x, y)), "{name} covers another panel");
                }
            }
            if panel["type"] == "row" {
                continue;
            }
            for part in [
                &panel["title"],
                &panel["description"],
                &panel["fieldConfig"]["defaults"]["unit"],
            ] {
                assert!(part.as_str().is_some_and(|text| !text.is_empty()), "{name}");
            }
            for target in panel["targets"].as_array().unwrap() {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{name}");
                let query = target["expr"].as_str().unwrap();
                let windows = query.matches('[').count();
                assert_eq!(
                    windows,
                    query.matches("[$__rate_interval]").count()
                        + query.matches("[$__range]").count(),
                    "{name} has a window of its own: {query}"
                );
            }
        }
    }
}
