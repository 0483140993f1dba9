use kernel::Money;

use super::ledger::{Balances, EntrySet};

/// What closing an account does, besides closing it.
#[derive(PartialEq, Eq, Debug)]
pub struct Closing {
    pub paid_out: Money,
    pub movement: Option<EntrySet>,
}

/// Closes an account at once, also with money held: what is available is paid out, what is held
/// goes out when its orders end. `None`: there is no open account.
pub fn close(open: Option<Balances>) -> Option<Closing> {
    let Balances { available, .. } = open?;
    let movement = (available > Money::ZERO).then(|| EntrySet::payout(available));
    Some(Closing {
        paid_out: available,
        movement,
    })
}
