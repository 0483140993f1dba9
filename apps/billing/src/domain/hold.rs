use contracts::billing::HoldRefusal;
use kernel::Money;

use super::ledger::EntrySet;

/// The state of an order's money. An order of which billing got no event has no hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Hold {
    Held(Money),
    Refused,
    Captured(Money),
    Released,
    Refunded,
    /// The verdict came, and nothing was held. It is also the tombstone of an order whose verdict
    /// came first.
    Settled,
}

/// The account of the customer who ordered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Payer {
    Missing,
    Closed,
    Open { available: Money },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Input {
    Placed {
        total: Money,
        payer: Payer,
    },
    Booked,
    /// The verdict came; the account may be closed by now.
    Closed {
        account_is_closed: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Announcement {
    Held,
    HoldRefused(HoldRefusal),
    Captured,
    Settled { released: Money, refunded: Money },
}

#[derive(Default, PartialEq, Eq, Debug)]
pub struct Decision {
    pub hold: Option<Hold>,
    pub movement: Option<EntrySet>,
    pub say: Option<Announcement>,
}

impl Decision {
    fn to(hold: Hold) -> Self {
        Self {
            hold: Some(hold),
            ..Self::default()
        }
    }
    fn moving(self, movement: EntrySet) -> Self {
        Self {
            movement: Some(movement),
            ..self
        }
    }
    fn saying(self, say: Announcement) -> Self {
        Self {
            say: Some(say),
            ..self
        }
    }
    fn nothing() -> Self {
        Self::default()
    }
}

/// Decides what an input changes. An order has one hold, which is captured only while it is held,
/// and its verdict is answered once, also where nothing was held. An input that no longer applies
/// changes nothing.
pub fn decide(hold: Option<Hold>, input: Input) -> Decision {
    let settled = |released, refunded| Announcement::Settled { released, refunded };
    match (hold, input) {
        (None, Input::Placed { total, payer }) => match refusal(total, payer) {
            None => Decision::to(Hold::Held(total))
                .moving(EntrySet::hold(total))
                .saying(Announcement::Held),
            Some(reason) => Decision::to(Hold::Refused).saying(Announcement::HoldRefused(reason)),
        },
        (Some(Hold::Held(amount)), Input::Booked) => Decision::to(Hold::Captured(amount))
            .moving(EntrySet::capture(amount))
            .saying(Announcement::Captured),
        (None | Some(Hold::Refused), Input::Closed { .. }) => {
            Decision::to(Hold::Settled).saying(settled(Money::ZERO, Money::ZERO))
        }
        (Some(Hold::Held(amount)), Input::Closed { account_is_closed }) => {
            Decision::to(Hold::Released)
                .moving(EntrySet::release(amount, account_is_closed))
                .saying(settled(amount, Money::ZERO))
        }
        (Some(Hold::Captured(amount)), Input::Closed { account_is_closed }) => {
            Decision::to(Hold::Refunded)
                .moving(EntrySet::refund(amount, account_is_closed))
                .saying(settled(Money::ZERO, amount))
        }
        _ => Decision::nothing(),
    }
}

fn refusal(total: Money, payer: Payer) -> Option<HoldRefusal> {
    match payer {
        Payer::Missing => Some(HoldRefusal::NoAccount),
        Payer::Closed => Some(HoldRefusal::AccountClosed),
        Payer::Open { available } if available < total => Some(HoldRefusal::InsufficientFunds),
        Payer::Open { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::ledger::Account, *};

    const TOTAL: Money = Money::from_minor(500);
    const RICH: Input = Input::Placed {
        total: TOTAL,
        payer: Payer::Open {
            available: Money::from_minor(500),
        },
    };
    const CLOSED: Input = Input::Closed {
        account_is_closed: false,
    };

    #[test]
    fn an_order_is_held_if_the_account_covers_it() {
        let decision = decide(None, RICH);
        assert_eq!(decision.hold, Some(Hold::Held(TOTAL)));
        assert_eq!(decision.say, Some(Announcement::Held));
        for (payer, reason) in [
            (
                Payer::Open {
                    available: Money::from_minor(499),
                },
                HoldRefusal::InsufficientFunds,
            ),
            (Payer::Missing, HoldRefusal::NoAccount),
            (Payer::Closed, HoldRefusal::AccountClosed),
        ] {
            let refused = decide(
                None,
                Input::Placed {
                    total: TOTAL,
                    payer,
                },
            );
            assert_eq!(refused.say, Some(Announcement::HoldRefused(reason)));
            assert_eq!(refused.movement, None);
        }
    }

    #[test]
    fn only_what_is_held_is_captured() {
        for hold in [
            None,
            Some(Hold::Refused),
            Some(Hold::Released),
            Some(Hold::Settled),
            Some(Hold::Captured(TOTAL)),
        ] {
            assert_eq!(decide(hold, Input::Booked), Decision::nothing(), "{hold:?}");
        }
    }

    #[test]
    fn the_verdict_is_answered_also_where_nothing_was_held() {
        let nothing = Some(Announcement::Settled {
            released: Money::ZERO,
            refunded: Money::ZERO,
        });
        assert_eq!(decide(None, CLOSED).say, nothing);
        assert_eq!(decide(Some(Hold::Refused), CLOSED).say, nothing);
    }

    #[test]
    fn an_order_after_its_verdict_holds_nothing() {
        let tombstone = decide(None, CLOSED).hold;
        assert_eq!(decide(tombstone, RICH), Decision::nothing());
    }

    proptest! {
        /// In whatever sequence the inputs arrive, the verdict is answered once, and exactly the
        /// money that was taken comes back.
        #[test]
        fn one_answer_and_no_money_lost(inputs in prop::collection::vec(0..3_u8, 0..12)) {
            let (mut hold, mut settled, mut moved) = (None, 0, 0);
            let moves_available = |movement: &EntrySet| {
                [movement.from, movement.to].contains(&Account::UserAvailable)
            };
            let has_verdict = inputs.contains(&2);
            for input in inputs {
                let decision = decide(hold, [RICH, Input::Booked, CLOSED][usize::from(input)]);
                hold = decision.hold.or(hold);
                settled += i32::from(matches!(decision.say, Some(Announcement::Settled { .. })));
                moved += decision
                    .movement
                    .filter(moves_available)
                    .map_or(0, |movement| movement.seen_by_owner().minor());
            }
            prop_assert_eq!(settled, i32::from(has_verdict));
            if has_verdict {
                prop_assert_eq!(moved, 0, "what was taken from the customer is back");
            }
        }
    }
}
