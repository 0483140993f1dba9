use contracts::{
    delivery::FailedReason,
    orders::{Outcome, Verdict},
};

use super::{
    facts::{Fact, Facts, Kind},
    status::Status,
};

/// What follows from the facts and is not yet one of them: the verdict, once, and the end, once.
/// Each is added as a fact when it is told, and that is the guard.
pub fn decide(facts: &Facts) -> Option<Fact> {
    if !facts.has(Kind::Closed)
        && let Some((outcome, reason)) = verdict(facts)
    {
        return Some(Fact::Closed {
            outcome,
            reason: reason.to_owned(),
        });
    }
    if !facts.has(Kind::Finished) && Status::of(facts).is_terminal() {
        return Some(finish(facts));
    }
    None
}

/// The way back: everyone undoes what they did. Only orders decides it.
fn verdict(facts: &Facts) -> Option<(Verdict, &'static str)> {
    if facts.has(Kind::Returned) {
        return Some((Verdict::Refunded, FailedReason::RecipientAbsent.code()));
    }
    let refusal = facts.refusal();
    match facts.get(Kind::StopRequested) {
        Some(Fact::StopRequested { reason }) if facts.has(Kind::Released) || refusal.is_some() => {
            Some((Verdict::Cancelled, reason.code()))
        }
        Some(_) => None,
        None => refusal.map(|reason| (Verdict::Rejected, reason)),
    }
}

fn finish(facts: &Facts) -> Fact {
    match facts.get(Kind::Closed) {
        Some(Fact::Closed { outcome, reason }) => Fact::Finished {
            outcome: (*outcome).into(),
            reason: Some(reason.clone()),
        },
        _ => Fact::Finished {
            outcome: Outcome::Delivered,
            reason: None,
        },
    }
}
