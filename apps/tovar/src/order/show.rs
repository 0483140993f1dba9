use std::fmt::Write;

use chrono::{DateTime, Utc};

use super::{
    journey::{EventState, JourneyEvent},
    view::View,
};
use crate::operations::show::{table_text, time, time_or_dash};

/// The order as text, for one screen.
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
    if view.journey.is_empty() {
        text += "its events have left the outboxes\n";
    } else {
        let journey: Vec<_> = view.journey.iter().map(event).collect();
        text += &table_text(
            &["published", "event", "type", "outbox", "inboxes"],
            &journey,
        );
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

fn event(event: &JourneyEvent) -> Vec<String> {
    let subscribers = event.subscribers.iter().map(|subscriber| {
        format!(
            "{} {}",
            subscriber.service,
            state(&subscriber.inbox, "applied", "not yet")
        )
    });
    vec![
        event.published_at.format("%F %T%.3f").to_string(),
        event.id.to_string(),
        event.event_type.clone(),
        state(&event.outbox, "sent", "not sent").to_owned(),
        subscribers.collect::<Vec<_>>().join(", "),
    ]
}

fn state(at: &EventState, done: &'static str, waits: &'static str) -> &'static str {
    match at {
        EventState::Done { .. } => done,
        EventState::Waits => waits,
        EventState::Retried { .. } => "RETRIED",
        EventState::BehindRetried { .. } => "behind another",
        EventState::Parked { .. } => "PARKED",
        EventState::Replay { .. } => "in replay",
        EventState::Discarded { .. } => "discarded",
    }
}

fn age(now: DateTime<Utc>, since: DateTime<Utc>) -> String {
    match (now - since).num_seconds().max(0) {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}
