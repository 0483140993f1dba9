use chrono::{DateTime, FixedOffset};
use serde_json::Value;

/// Prints an order's timeline as a table, by time, with the milliseconds since the order was
/// placed.
pub fn timeline(title: &str, order: &Value) {
    println!("{title}: order {}", text(order, "id"));
    let steps = order["timeline"].as_array().into_iter().flatten();
    let mut steps: Vec<(Option<DateTime<FixedOffset>>, &Value)> =
        steps.map(|step| (time(step), step)).collect();
    // Steps that happened together stay in the saga's order.
    steps.sort_by_key(|(at, _)| *at);
    let start = steps.first().and_then(|(at, _)| *at);
    for (at, step) in steps {
        let after = at
            .zip(start)
            .map_or(0, |(at, start)| (at - start).num_milliseconds());
        println!(
            "  {after:>6} ms  {:<28} {}",
            text(step, "event"),
            text(step, "text")
        );
    }
    let reason = order["outcome_reason"].as_str();
    let reason = reason
        .map(|reason| format!(" ({reason})"))
        .unwrap_or_default();
    println!("  → {}{reason}\n", text(order, "status"));
}

fn time(step: &Value) -> Option<DateTime<FixedOffset>> {
    DateTime::parse_from_rfc3339(step["at"].as_str()?).ok()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}
