use chrono::{DateTime, Utc};
use contracts::orders::{Outcome, Verdict};

use super::facts::{Fact, Facts};

/// A step of an order, as its customer reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    pub at: DateTime<Utc>,
    pub event: &'static str,
    pub text: String,
}

/// The order's steps, in the order of the saga and not in that of their arrival.
pub fn timeline(facts: &Facts) -> Vec<Step> {
    facts
        .iter()
        .map(|(fact, at)| step(fact, at, facts))
        .collect()
}

/// The step of one fact, worded by what else was known of the order then.
pub fn step(fact: &Fact, at: DateTime<Utc>, facts: &Facts) -> Step {
    Step {
        at,
        event: fact.kind().event(),
        text: text(fact, facts),
    }
}

fn text(fact: &Fact, facts: &Facts) -> String {
    match fact {
        Fact::Placed => "the order is placed".to_owned(),
        Fact::Held => "the money is set aside".to_owned(),
        Fact::HoldRefused { reason } => format!("the payment is refused: {}", reason.code()),
        Fact::Reserved => "the goods are set aside".to_owned(),
        Fact::ReserveRefused { sku } => format!("there is too little of {sku}"),
        Fact::Booked { ends_at, .. } => {
            format!("the delivery is booked, until {}", ends_at.to_rfc3339())
        }
        Fact::BookingRefused { reason } => format!("the delivery is refused: {}", reason.code()),
        Fact::Captured => "the order is paid".to_owned(),
        Fact::Shipped => "the parcel has left".to_owned(),
        Fact::StopRequested { reason } => format!("a stop is requested: {}", reason.code()),
        Fact::Released => "the parcel does not leave".to_owned(),
        Fact::ReleaseRefused => "the stop came too late: the parcel has left".to_owned(),
        Fact::Delivered => "the parcel is delivered".to_owned(),
        Fact::Failed => "nobody took the parcel".to_owned(),
        Fact::Returned => "the goods are back on the shelf".to_owned(),
        Fact::Closed { outcome, reason } => {
            format!("{}: {reason}; {}", verdict(*outcome), undone(facts))
        }
        Fact::Settled => "the money is where it belongs".to_owned(),
        Fact::Finished { outcome, .. } => match outcome {
            Outcome::Delivered => "done".to_owned(),
            Outcome::Rejected => "over: rejected".to_owned(),
            Outcome::Cancelled => "over: cancelled".to_owned(),
            Outcome::Refunded => "over: refunded".to_owned(),
        },
    }
}

const fn verdict(outcome: Verdict) -> &'static str {
    match outcome {
        Verdict::Rejected => "rejected",
        Verdict::Cancelled => "cancelled",
        Verdict::Refunded => "refunded",
    }
}

/// What the participants undo after the verdict. Goods that came back are on the shelf already.
fn undone(facts: &Facts) -> String {
    use super::facts::Kind;
    let money = match (facts.has(Kind::Captured), facts.has(Kind::Held)) {
        (true, _) => Some("the money is paid back"),
        (false, true) => Some("the money is released"),
        (false, false) => None,
    };
    let has_goods = facts.has(Kind::Reserved) && !facts.has(Kind::Returned);
    let goods = has_goods.then_some("the goods are released");
    let slot = facts.has(Kind::Booked).then_some("the slot is freed");
    let all: Vec<&str> = [money, goods, slot].into_iter().flatten().collect();
    if all.is_empty() {
        "there is nothing to undo".to_owned()
    } else {
        all.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use contracts::billing::HoldRefusal;

    use super::*;

    fn closed(facts: &[Fact]) -> String {
        let mut known = Facts::default();
        for fact in facts {
            known.add(fact.clone(), DateTime::UNIX_EPOCH);
        }
        let steps = timeline(&known);
        let closed = steps.into_iter().find(|step| step.event == "orders.closed");
        closed.unwrap().text
    }

    #[test]
    fn a_verdict_names_what_is_still_to_be_undone() {
        let verdict = |outcome, reason: &str| Fact::Closed {
            outcome,
            reason: reason.to_owned(),
        };
        let reason = HoldRefusal::NoAccount;
        assert_eq!(
            closed(&[
                Fact::HoldRefused { reason },
                verdict(Verdict::Rejected, "no_account")
            ]),
            "rejected: no_account; there is nothing to undo"
        );
        let stopped = [
            Fact::Held,
            Fact::Reserved,
            verdict(Verdict::Cancelled, "customer"),
        ];
        assert_eq!(
            closed(&stopped),
            "cancelled: customer; the money is released, the goods are released"
        );
        let returned = [
            Fact::Held,
            Fact::Reserved,
            Fact::Captured,
            Fact::Returned,
            verdict(Verdict::Refunded, "recipient_absent"),
        ];
        assert_eq!(
            closed(&returned),
            "refunded: recipient_absent; the money is paid back"
        );
    }
}
