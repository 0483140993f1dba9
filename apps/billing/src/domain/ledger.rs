use kernel::{Class, Classify, Money};

/// An account of the ledger: where money is. Only the user's two accounts have cached balances, as
/// every order would wait for the row of a balance of the revenue.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Account {
    UserAvailable,
    UserHeld,
    ShopRevenue,
    /// The world outside the store. Its balance is negative: the money that came in.
    Outside,
}

impl Account {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserAvailable => "user_available",
            Self::UserHeld => "user_held",
            Self::ShopRevenue => "shop_revenue",
            Self::Outside => "outside",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    TopUp,
    Withdrawal,
    Hold,
    Capture,
    Release,
    Refund,
    Payout,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TopUp => "top_up",
            Self::Withdrawal => "withdrawal",
            Self::Hold => "hold",
            Self::Capture => "capture",
            Self::Release => "release",
            Self::Refund => "refund",
            Self::Payout => "payout",
        }
    }
}

/// A movement of money from one account to another. Its two postings sum to zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntrySet {
    pub kind: Kind,
    pub from: Account,
    pub to: Account,
    pub amount: Money,
}

/// A user's cached balances.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Balances {
    pub available: Money,
    pub held: Money,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("the account has too little money available for this")]
    InsufficientFunds,
    #[error("the account cannot hold that much money")]
    TooMuch,
}

impl Classify for LedgerError {
    fn class(&self) -> Class {
        match self {
            Self::InsufficientFunds => Class::Conflict,
            Self::TooMuch => Class::Invalid,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::InsufficientFunds => "insufficient_funds",
            Self::TooMuch => "too_much_money",
        }
    }
}

/// Bounds the money in an account, in minor units, so that sums of accounts stay far from overflow.
pub const MAX_BALANCE: Money = Money::from_minor(1_000_000_000_000_000);

impl EntrySet {
    pub const fn top_up(amount: Money) -> Self {
        Self {
            kind: Kind::TopUp,
            from: Account::Outside,
            to: Account::UserAvailable,
            amount,
        }
    }
    pub const fn withdrawal(amount: Money) -> Self {
        Self {
            kind: Kind::Withdrawal,
            from: Account::UserAvailable,
            to: Account::Outside,
            amount,
        }
    }
    /// Pays out the money that an account has when it is closed.
    pub const fn payout(amount: Money) -> Self {
        Self {
            kind: Kind::Payout,
            from: Account::UserAvailable,
            to: Account::Outside,
            amount,
        }
    }
    pub const fn hold(amount: Money) -> Self {
        Self {
            kind: Kind::Hold,
            from: Account::UserAvailable,
            to: Account::UserHeld,
            amount,
        }
    }
    pub const fn capture(amount: Money) -> Self {
        Self {
            kind: Kind::Capture,
            from: Account::UserHeld,
            to: Account::ShopRevenue,
            amount,
        }
    }
    /// Gives held money back: to the account, or if it is closed to its owner at once.
    pub const fn release(amount: Money, is_closed: bool) -> Self {
        Self {
            kind: Kind::Release,
            from: Account::UserHeld,
            to: destination(is_closed),
            amount,
        }
    }
    pub const fn refund(amount: Money, is_closed: bool) -> Self {
        Self {
            kind: Kind::Refund,
            from: Account::ShopRevenue,
            to: destination(is_closed),
            amount,
        }
    }

    pub fn postings(&self) -> [(Account, Money); 2] {
        [(self.from, self.amount.negated()), (self.to, self.amount)]
    }

    /// The change that the owner sees: of the available money, and where that does not change, of
    /// the held money.
    pub fn seen_by_owner(&self) -> Money {
        match (self.from, self.to) {
            (_, Account::UserAvailable) => self.amount,
            (Account::UserAvailable | Account::UserHeld, _) => self.amount.negated(),
            _ => self.amount,
        }
    }

    fn change_of(&self, account: Account) -> Money {
        let of_account = self
            .postings()
            .into_iter()
            .find(|(posted, _)| *posted == account);
        of_account.map_or(Money::ZERO, |(_, amount)| amount)
    }

    /// The balances after this movement.
    pub fn apply(&self, before: Balances) -> Result<Balances, LedgerError> {
        let after = |balance: Money, account| {
            let after = balance
                .checked_add(self.change_of(account))
                .ok_or(LedgerError::TooMuch)?;
            match after {
                after if after.is_negative() => Err(LedgerError::InsufficientFunds),
                // Only a top-up is limited: money that comes back must never be refused.
                after if after > MAX_BALANCE && self.kind == Kind::TopUp => {
                    Err(LedgerError::TooMuch)
                }
                after => Ok(after),
            }
        };
        Ok(Balances {
            available: after(before.available, Account::UserAvailable)?,
            held: after(before.held, Account::UserHeld)?,
        })
    }
}

/// Where money that comes back goes.
const fn destination(is_closed: bool) -> Account {
    if is_closed {
        Account::Outside
    } else {
        Account::UserAvailable
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn movement() -> impl Strategy<Value = EntrySet> {
        (0..7, 1..1000_i64, any::<bool>()).prop_map(|(kind, amount, is_closed)| {
            let amount = Money::from_minor(amount);
            match kind {
                0 => EntrySet::top_up(amount),
                1 => EntrySet::withdrawal(amount),
                2 => EntrySet::hold(amount),
                3 => EntrySet::capture(amount),
                4 => EntrySet::release(amount, is_closed),
                5 => EntrySet::refund(amount, is_closed),
                _ => EntrySet::payout(amount),
            }
        })
    }

    proptest! {
        /// The reference is the plain list of all postings.
        #[test]
        fn balances_always_equal_their_postings(
            movements in prop::collection::vec(movement(), 0..200),
        ) {
            let mut balances = Balances::default();
            let mut ledger: BTreeMap<Account, i64> = BTreeMap::new();
            for movement in movements {
                let sum: i64 = movement.postings().iter().map(|(_, amount)| amount.minor()).sum();
                prop_assert_eq!(sum, 0);
                let mut wanted = ledger.clone();
                for (account, amount) in movement.postings() {
                    *wanted.entry(account).or_default() += amount.minor();
                }
                let of = |sums: &BTreeMap<Account, i64>, account| {
                    sums.get(&account).copied().unwrap_or_default()
                };
                let is_covered =
                    of(&wanted, Account::UserAvailable) >= 0 && of(&wanted, Account::UserHeld) >= 0;
                match movement.apply(balances) {
                    Ok(after) => {
                        prop_assert!(is_covered);
                        balances = after;
                        ledger = wanted;
                    }
                    Err(error) => {
                        prop_assert!(!is_covered);
                        prop_assert_eq!(error, LedgerError::InsufficientFunds);
                    }
                }
                prop_assert_eq!(balances.available.minor(), of(&ledger, Account::UserAvailable));
                prop_assert_eq!(balances.held.minor(), of(&ledger, Account::UserHeld));
                prop_assert_eq!(ledger.values().sum::<i64>(), 0);
            }
        }
    }

    #[test]
    fn an_account_has_a_limit() {
        let full = Balances {
            available: MAX_BALANCE,
            held: Money::ZERO,
        };
        assert_eq!(
            EntrySet::top_up(Money::from_minor(1)).apply(full),
            Err(LedgerError::TooMuch)
        );
        assert!(
            EntrySet::refund(Money::from_minor(1), false)
                .apply(full)
                .is_ok(),
            "a refund is never too much"
        );
    }
}
