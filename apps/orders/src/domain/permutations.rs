//! In whatever sequence facts arrive, they lead to the same status and the same decisions.

use chrono::{DateTime, Utc};
use contracts::{
    billing::HoldRefusal,
    delivery::{BookingRefusal, Handover},
    orders::{Outcome, StopReason, Verdict},
};
use proptest::prelude::*;

use super::{
    decide::decide,
    facts::{Fact, Facts, Kind},
    status::Status,
};

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
}

fn booked() -> Fact {
    Fact::Booked {
        ends_at: at(3600),
        handover: Handover::Courier,
    }
}

/// A name, the facts that the participants publish of an order in the order of the saga, the status
/// in which it must end, and the verdict. Billing's answer to the verdict comes after it.
type Story = (
    &'static str,
    Vec<Fact>,
    Status,
    Option<(Verdict, &'static str)>,
);

fn stories() -> Vec<Story> {
    use Fact::{Captured, Delivered, Failed, Held, Released, Reserved, Returned, Shipped};
    let stop = |reason| Fact::StopRequested { reason };
    let rejected = |reason| Some((Verdict::Rejected, reason));
    vec![
        (
            "delivered",
            vec![Held, Reserved, booked(), Captured, Shipped, Delivered],
            Status::Delivered,
            None,
        ),
        (
            "payment refused",
            vec![Fact::HoldRefused {
                reason: HoldRefusal::InsufficientFunds,
            }],
            Status::Rejected,
            rejected("insufficient_funds"),
        ),
        (
            "stock refused",
            vec![
                Held,
                Fact::ReserveRefused {
                    sku: "tea".parse().unwrap(),
                },
            ],
            Status::Rejected,
            rejected("out_of_stock"),
        ),
        (
            "slot full",
            vec![
                Held,
                Reserved,
                Fact::BookingRefused {
                    reason: BookingRefusal::SlotFull,
                },
            ],
            Status::Rejected,
            rejected("slot_full"),
        ),
        (
            "recipient absent",
            vec![
                Held,
                Reserved,
                booked(),
                Captured,
                Shipped,
                Failed,
                Returned,
            ],
            Status::Refunded,
            Some((Verdict::Refunded, "recipient_absent")),
        ),
        (
            "cancelled after payment",
            vec![
                stop(StopReason::Customer),
                Held,
                Reserved,
                booked(),
                Captured,
                Released,
            ],
            Status::Cancelled,
            Some((Verdict::Cancelled, "customer")),
        ),
        (
            "stopped too late",
            vec![
                stop(StopReason::Deadline),
                Held,
                Reserved,
                booked(),
                Captured,
                Shipped,
                Fact::ReleaseRefused,
                Delivered,
            ],
            Status::Delivered,
            None,
        ),
    ]
}

/// Adds facts one by one, with billing's answer to a verdict. Returns all facts in the end, and
/// those of them that orders decided.
fn play(arrivals: &[Fact]) -> (Facts, Vec<Fact>) {
    let mut facts = Facts::default();
    let mut decided = Vec::new();
    facts.add(Fact::Placed, at(0));
    let mut arrivals = arrivals.to_vec();
    let mut second = 0;
    while !arrivals.is_empty() {
        let fact = arrivals.remove(0);
        second += 1;
        facts.add(fact, at(second));
        while let Some(next) = decide(&facts) {
            if next.kind() == Kind::Closed {
                arrivals.push(Fact::Settled);
            }
            assert!(
                facts.add(next.clone(), at(second)),
                "decided twice: {next:?}"
            );
            decided.push(next);
        }
    }
    (facts, decided)
}

/// All permutations of `items`, by Heap's algorithm.
fn permutations(items: &[Fact]) -> Vec<Vec<Fact>> {
    fn heap(k: usize, items: &mut Vec<Fact>, out: &mut Vec<Vec<Fact>>) {
        if k <= 1 {
            out.push(items.clone());
            return;
        }
        for i in 0..k {
            heap(k - 1, items, out);
            let swapped = if k.is_multiple_of(2) { i } else { 0 };
            items.swap(swapped, k - 1);
        }
    }
    let mut out = Vec::new();
    heap(items.len(), &mut items.to_vec(), &mut out);
    out
}

#[test]
fn every_order_of_arrivals_ends_the_same() {
    for (name, story, status, verdict) in stories() {
        // A stop is requested by orders itself, before the other services answer it.
        let (own, others): (Vec<Fact>, Vec<Fact>) = story
            .into_iter()
            .partition(|fact| matches!(fact, Fact::StopRequested { .. }));
        let mut tried = 0;
        for arrivals in permutations(&others) {
            let arrivals = [own.clone(), arrivals].concat();
            let (facts, decided) = play(&arrivals);
            assert_eq!(Status::of(&facts), status, "{name}: {arrivals:?}");
            let closed: Vec<_> = decided
                .iter()
                .filter(|fact| fact.kind() == Kind::Closed)
                .collect();
            let expected = verdict.map(|(outcome, reason)| Fact::Closed {
                outcome,
                reason: reason.to_owned(),
            });
            assert_eq!(
                closed,
                expected.iter().collect::<Vec<_>>(),
                "{name}: {arrivals:?}"
            );
            let finished = decided
                .iter()
                .filter(|fact| fact.kind() == Kind::Finished)
                .count();
            assert_eq!(finished, 1, "{name}: {arrivals:?}");
            let outcome = match verdict {
                Some((verdict, reason)) => Fact::Finished {
                    outcome: verdict.into(),
                    reason: Some(reason.to_owned()),
                },
                None => Fact::Finished {
                    outcome: Outcome::Delivered,
                    reason: None,
                },
            };
            assert_eq!(decided.last(), Some(&outcome), "{name}: {arrivals:?}");
            tried += 1;
        }
        assert_eq!(tried, (1..=others.len()).product::<usize>(), "{name}");
    }
}

#[test]
fn nothing_is_finished_before_the_money_is_settled() {
    let mut facts = Facts::default();
    facts.add(Fact::Placed, at(0));
    facts.add(
        Fact::HoldRefused {
            reason: HoldRefusal::NoAccount,
        },
        at(1),
    );
    let closed = decide(&facts).unwrap();
    facts.add(closed, at(1));
    assert_eq!(
        (Status::of(&facts), decide(&facts)),
        (Status::Closing, None)
    );
    facts.add(Fact::Settled, at(2));
    assert_eq!(Status::of(&facts), Status::Rejected);
    assert!(matches!(decide(&facts), Some(Fact::Finished { .. })));
}

proptest! {
    #[test]
    fn a_fact_that_is_known_changes_nothing(
        order in Just(stories()).prop_shuffle(),
        again in 0..6_usize,
    ) {
        let (_, story, ..) = &order[0];
        let (facts, _) = play(story);
        let mut twice = facts.clone();
        let known = twice.add(story[again % story.len()].clone(), at(99));
        prop_assert!(!known);
        prop_assert_eq!(facts, twice);
    }
}
