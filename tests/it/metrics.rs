use std::{collections::BTreeMap, fs, path::Path};

use gateway::templates::TEMPLATES;

use crate::harness::{Store, operations};

/// Metrics by name: their sort, their labels beside `process` and `service`, and their help, as
/// `docs/metrics.md` lists them.
async fn metrics_of(store: &Store) -> BTreeMap<String, (String, Vec<String>, String)> {
    let mut metrics = BTreeMap::<String, (String, Vec<String>, String)>::new();
    for ops in store.all_ops() {
        let url = format!("http://{ops}/metrics");
        let text = reqwest::get(url).await.unwrap().text().await.unwrap();
        let mut name = String::new();
        let mut help = String::new();
        for line in text.lines() {
            if let Some((metric, about)) = line
                .strip_prefix("# HELP ")
                .and_then(|rest| rest.split_once(' '))
            {
                (name, help) = (metric.to_owned(), about.to_owned());
            } else if let Some((_, sort)) = line
                .strip_prefix("# TYPE ")
                .and_then(|rest| rest.split_once(' '))
            {
                let known = metrics.entry(name.clone()).or_default();
                (known.0, known.2) = (sort.to_owned(), help.clone());
            } else if let Some((_, labels)) = line.split_once('{')
                && line.starts_with(&name)
            {
                let known = &mut metrics.get_mut(&name).unwrap().1;
                for label in labels
                    .split('}')
                    .next()
                    .unwrap()
                    .split("\",")
                    .filter_map(|label| label.split('=').next())
                {
                    if !["process", "service", "le"].contains(&label)
                        && !known.contains(&label.to_owned())
                    {
                        known.push(label.to_owned());
                    }
                }
            }
        }
    }
    metrics
}

/// The name of a metric in a query.
fn shown_name(name: &str, sort: &str) -> String {
    match sort {
        "counter" => format!("{name}_total"),
        "info" => format!("{name}_info"),
        _ => name.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_metrics_lists_what_a_store_shows_from_its_start() {
    let store = Store::start().await;
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let mut table = "| metric | sort | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for (name, (sort, labels, help)) in metrics_of(&store).await {
        let name = shown_name(&name, &sort);
        table += &format!("| `{name}` | {sort} | {} | {help} |\n", labels.join(", "));
    }
    let text = fs::read_to_string(&page).unwrap();
    let (head, _) = text
        .split_once("| metric |")
        .expect("the page has the table at its end");
    let wanted = head.to_owned() + &table;
    if std::env::var_os("UPDATE_METRICS").is_some() {
        fs::write(&page, &wanted).unwrap();
    } else {
        assert!(
            text == wanted,
            "docs/metrics.md differs from what the store shows; run this test with UPDATE_METRICS=1"
        );
    }
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_knows_every_route_of_the_services() {
    let store = Store::start().await;
    let all = operations(&store).await;
    let mut routes: Vec<String> = all.iter().map(crate::harness::Operation::name).collect();
    let mut known: Vec<String> = TEMPLATES
        .iter()
        .map(|known| format!("{} {}", known.method, known.route))
        .collect();
    routes.sort();
    known.sort();
    assert_eq!(known, routes);
    store.stop().await;
}
