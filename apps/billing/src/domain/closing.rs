use kernel::Money;

use super::ledger::{Balances, EntrySet};

/// The payout of an account that is closed.
#[derive(PartialEq, Eq, Debug)]
pub struct Closing {
    pub paid_out: Money,
    pub movement: Option<EntrySet>,
}

/// Closes an account at once, also with money held: the available money is paid out now, the held
/// money when its orders end. `None` if there is no open account.
pub fn close(open: Option<Balances>) -> Option<Closing> {
    let Balances { available, .. } = open?;
    let movement = (available > Money::ZERO).then(|| EntrySet::payout(available));
    Some(Closing {
        paid_out: available,
        movement,
    })
}
