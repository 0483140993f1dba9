use billing::domain::{
    hold::{Hold, Payer},
    ledger::{Account, Balances, EntrySet, LedgerError},
};
use contracts::delivery::Handover;
use delivery::domain::booking::Booking;
use kernel::Money;
use warehouse::domain::{parcel::Parcel, shelf::Shelf};

use crate::{
    event::{Event, Sent},
    known::Known,
    queues::{Key, Messages, Queues},
    routes::Routes,
};

pub const SKU: &str = "tea";
pub const ZONE: &str = "north";

/// The price of each order. They differ, so that the model cannot confuse two orders.
pub const TOTALS: [i64; 2] = [2, 3];
/// How many pieces each order is of.
pub const QUANTITIES: [i64; 2] = [1, 2];

/// The store at the start. It does not change.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Shop {
    /// The customer's money; `None`: the customer has no account.
    pub funds: Option<i64>,
    pub stock: i64,
    /// How the zone is served, if it is.
    pub handover: Option<Handover>,
    pub slot: Slot,
    pub capacity: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Slot {
    Missing,
    Past,
    Ahead,
}

/// A state of the whole store.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct World {
    pub shop: Shop,
    pub account: Owner,
    pub ledger: Ledger,
    pub shelf: Shelf,
    /// Booked places of the slot.
    pub booked: i64,
    pub orders: Vec<Order>,
    pub queues: Queues,
    /// The messages that consumers had already, if messages may come again.
    pub had: Messages,
    /// The messages that an operator discarded and may still replay.
    pub discarded: Messages,
    pub discards: u8,
    pub is_user_deleted: bool,
    pub fault: Option<Fault>,
}

/// An order, as each of the participants has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Order {
    pub known: Known,
    pub hold: Option<Hold>,
    pub parcel: Option<Parcel>,
    pub booking: Option<Booking>,
    pub sent: Sent,
}

/// The customer's account.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Owner {
    Missing,
    Open,
    Closed,
}

/// A fault that a step commits, although the state after it may be allowed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    /// The ledger refuses a movement, or the cached balances are not the sums of their entries.
    Ledger,
    /// The shelf does not hold what is asked of it.
    Shelf,
    /// The slot has no such place.
    Slot,
    /// A stop is accepted for an order that is known to have left, or to be judged.
    LateStop,
}

/// The sum of each account's entries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Ledger([i64; 4]);

impl Ledger {
    pub fn of(self, account: Account) -> i64 {
        self.0[account as usize]
    }

    pub fn sum(self) -> i64 {
        self.0.iter().sum()
    }

    pub fn balances(self) -> Balances {
        Balances {
            available: Money::from_minor(self.of(Account::UserAvailable)),
            held: Money::from_minor(self.of(Account::UserHeld)),
        }
    }

    /// Adds a movement's entries. The balances that the service would cache must be their sums.
    pub fn post(&mut self, movement: &EntrySet) -> Result<(), LedgerError> {
        let cached = movement.apply(self.balances())?;
        for (account, amount) in movement.postings() {
            self.0[account as usize] += amount.minor();
        }
        if cached == self.balances() {
            Ok(())
        } else {
            Err(LedgerError::TooMuch)
        }
    }
}

impl World {
    /// The customer has just placed `orders` orders.
    pub fn new(shop: Shop, orders: u8, discards: u8, routes: &Routes) -> Self {
        let order = Order {
            known: Known::placed(),
            hold: None,
            parcel: None,
            booking: None,
            sent: Sent::default(),
        };
        let mut ledger = Ledger::default();
        if let Some(funds) = shop.funds {
            let top_up = EntrySet::top_up(Money::from_minor(funds));
            ledger.post(&top_up).unwrap();
        }
        let mut world = Self {
            shop,
            account: shop.funds.map_or(Owner::Missing, |_| Owner::Open),
            ledger,
            shelf: Shelf::default().receive(shop.stock).unwrap(),
            booked: 0,
            orders: vec![order; orders.into()],
            queues: Queues::default(),
            had: Messages::default(),
            discarded: Messages::default(),
            discards,
            is_user_deleted: false,
            fault: None,
        };
        for order in 0..orders {
            world.send(routes, Key::Order(order), Event::Placed);
        }
        world
    }

    /// Puts an event on the lane of each service that subscribes to it.
    pub fn send(&mut self, routes: &Routes, key: Key, event: Event) {
        if let Key::Order(order) = key {
            self.orders[usize::from(order)].sent.add(event);
        }
        for lane in routes.lanes(event, key) {
            self.queues.push((lane, event));
        }
    }

    /// Nothing is under way, and nothing waits for an operator.
    pub fn is_at_rest(&self) -> bool {
        self.queues.is_empty() && self.discarded.is_empty()
    }

    pub fn payer(&self) -> Payer {
        match self.account {
            Owner::Missing => Payer::Missing,
            Owner::Closed => Payer::Closed,
            Owner::Open => Payer::Open {
                available: self.ledger.balances().available,
            },
        }
    }
}
