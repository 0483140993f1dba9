use std::fmt::Write;

use chrono::{DateTime, Utc};

use super::{
    View,
    way::{At, Step},
};
use crate::operations::show::{table_text, time, time_or_dash};

/// The order on one screen.
pub fn text(view: &View) -> String {
    let mut text = format!("order {}\n", view.id);
    if let Some(order) = &view.order {
        let reason = order.reason.as_ref().map(|reason| format!(" ({reason})"));
        let mut line = |name: &str, value: String| {
            writeln!(text, "  {name:<10}{value}")
                .expect("a string takes all that is written to it");
        };
        line(
            "is",
            format!("{}{}", order.status, reason.unwrap_or_default()),
        );
        line(
            "of",
            format!(
                "user {}, {} {} in minor units",
                order.user_id, order.total, order.currency
            ),
        );
        line("placed", time(order.placed_at));
        if let Some(deadline) = order.deadline {
            line("deadline", time(deadline));
        }
        if let Some(why) = &order.needs_attention {
            line("attention", format!("it needs an operator: {why}"));
        }
    }
    text.push('\n');
    let parts = view.parts.iter().map(|part| {
        vec![
            part.service.to_owned(),
            part.state.clone().unwrap_or_else(|| "-".to_owned()),
            time_or_dash(part.since),
            part.detail.clone().unwrap_or_default(),
        ]
    });
    text += &table_text(
        &["service", "has it as", "since", ""],
        &parts.collect::<Vec<_>>(),
    );
    text.push('\n');
    if view.way.is_empty() {
        text += "its events have left the outboxes\n";
    } else {
        let way: Vec<_> = view.way.iter().map(step).collect();
        text += &table_text(&["published", "event", "type", "outbox", "inboxes"], &way);
    }
    text.push('\n');
    if view.waits.is_empty() {
        text += "waits for nothing\n";
    }
    for wait in &view.waits {
        let age = age(view.at, wait.since);
        text += &format!(
            "waits for {}\n  since     {} ({age})\n  then      {}\n  you can   {}\n",
            wait.what,
            time(wait.since),
            wait.then,
            wait.can
        );
    }
    text += &format!("next      {}\n", view.next);
    text
}

fn step(step: &Step) -> Vec<String> {
    let readers = step.readers.iter().map(|reader| {
        format!(
            "{} {}",
            reader.service,
            state(&reader.inbox, "applied", "not yet")
        )
    });
    vec![
        step.published_at.format("%F %T%.3f").to_string(),
        step.event.to_string(),
        step.event_type.clone(),
        state(&step.outbox, "sent", "not sent").to_owned(),
        readers.collect::<Vec<_>>().join(", "),
    ]
}

fn state(at: &At, done: &'static str, waits: &'static str) -> &'static str {
    match at {
        At::Done { .. } => done,
        At::Waits => waits,
        At::Retried { .. } => "RETRIED",
        At::BehindRetried { .. } => "behind another",
        At::Parked { .. } => "PARKED",
        At::Replay { .. } => "in replay",
        At::Discarded { .. } => "discarded",
    }
}

fn age(now: DateTime<Utc>, since: DateTime<Utc>) -> String {
    match (now - since).num_seconds().max(0) {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}
