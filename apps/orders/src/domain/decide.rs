use contracts::{
    delivery::FailedReason,
    orders::{Outcome, Verdict},
};

use super::{
    facts::{Fact, Facts, Kind},
    status::Status,
};

/// The next fact that follows from those that are known: the verdict, once, and the end, once. Each
/// is added to the facts when it is published, and so it is decided only once.
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

/// The verdict and its reason, if the order cannot go on: then each participant undoes what it did.
/// Only orders decides it.
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
