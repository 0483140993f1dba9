use std::fs;

#[test]
fn what_is_checked_in_follows_from_the_objectives() {
    let folder = slo::folder();
    let objectives = slo::spec::read(&folder.join("slo")).unwrap();
    let generated = slo::generated(&objectives);
    for (path, text) in &generated {
        let found = fs::read_to_string(folder.join(path)).unwrap_or_default();
        assert!(
            found == *text,
            "{} is not what follows from grafana/slo: run `cargo run -p slo`",
            path.display()
        );
    }
    let boards = fs::read_dir(folder.join("boards")).unwrap().count();
    let known = generated
        .keys()
        .filter(|path| path.starts_with("boards"))
        .count();
    assert_eq!(boards, known, "a board that is not generated");
}

#[test]
fn the_store_promises_what_it_is_known_for() {
    let objectives = slo::spec::read(&slo::folder().join("slo")).unwrap();
    let promised: Vec<(&str, f64)> = objectives
        .iter()
        .map(|one| (one.name.as_str(), one.budget()))
        .collect();
    assert_eq!(
        promised,
        [
            ("availability", 0.001),
            ("event-age", 0.005),
            ("orders-30s", 0.01),
            ("orders-5m", 0.001),
            ("outbox-freshness", 0.001),
            ("outbox-latency", 0.01),
            ("placing", 0.01),
            ("reads", 0.01),
        ]
    );
}
