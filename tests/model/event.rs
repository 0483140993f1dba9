use std::fmt;

use contracts::{billing, delivery, orders, users, warehouse};
use kernel::Event as Contract;

/// An event of the saga as it lies in a queue. The order sheet is not repeated in it, it is always
/// the order's own; a refusal is an event for each of its reasons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Event {
    Placed,
    Held,
    InsufficientFunds,
    NoAccount,
    AccountClosed,
    Reserved,
    OutOfStock,
    Booked,
    ZoneNotServed,
    UnknownSlot,
    SlotFull,
    SlotPast,
    Captured,
    Shipped,
    StopRequested,
    Released,
    ReleaseRefused,
    Delivered,
    Failed,
    Returned,
    Closed,
    Settled,
    Finished,
    UserDeleted,
}

impl Event {
    pub const ALL: [Self; 24] = [
        Self::Placed,
        Self::Held,
        Self::InsufficientFunds,
        Self::NoAccount,
        Self::AccountClosed,
        Self::Reserved,
        Self::OutOfStock,
        Self::Booked,
        Self::ZoneNotServed,
        Self::UnknownSlot,
        Self::SlotFull,
        Self::SlotPast,
        Self::Captured,
        Self::Shipped,
        Self::StopRequested,
        Self::Released,
        Self::ReleaseRefused,
        Self::Delivered,
        Self::Failed,
        Self::Returned,
        Self::Closed,
        Self::Settled,
        Self::Finished,
        Self::UserDeleted,
    ];

    /// Its topic and its type, as the contracts name them.
    pub const fn contract(self) -> (&'static str, &'static str) {
        const fn of<E: Contract>() -> (&'static str, &'static str) {
            (E::TOPIC, E::TYPE)
        }
        match self {
            Self::Placed => of::<orders::Placed>(),
            Self::StopRequested => of::<orders::StopRequested>(),
            Self::Closed => of::<orders::Closed>(),
            Self::Finished => of::<orders::Finished>(),
            Self::Held => of::<billing::Held>(),
            Self::InsufficientFunds | Self::NoAccount | Self::AccountClosed => {
                of::<billing::HoldRefused>()
            }
            Self::Captured => of::<billing::Captured>(),
            Self::Settled => of::<billing::Settled>(),
            Self::Reserved => of::<warehouse::Reserved>(),
            Self::OutOfStock => of::<warehouse::ReserveRefused>(),
            Self::Shipped => of::<warehouse::Shipped>(),
            Self::Released => of::<warehouse::Released>(),
            Self::ReleaseRefused => of::<warehouse::ReleaseRefused>(),
            Self::Returned => of::<warehouse::Returned>(),
            Self::Booked => of::<delivery::Booked>(),
            Self::ZoneNotServed | Self::UnknownSlot | Self::SlotFull | Self::SlotPast => {
                of::<delivery::BookingRefused>()
            }
            Self::Delivered => of::<delivery::Delivered>(),
            Self::Failed => of::<delivery::Failed>(),
            Self::UserDeleted => of::<users::UserDeleted>(),
        }
    }
}

/// The event's type without producer and version: `hold_refused`.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.contract().1.split('.').nth(1);
        f.write_str(name.expect("a type is producer, name and version"))
    }
}

/// Which events were sent, and which of them more than once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Sent {
    once: u32,
    again: u32,
}

impl Sent {
    pub fn add(&mut self, event: Event) {
        self.again |= self.once & bit(event);
        self.once |= bit(event);
    }

    pub fn has(self, event: Event) -> bool {
        self.once & bit(event) != 0
    }

    pub fn repeats(self, event: Event) -> bool {
        self.again & bit(event) != 0
    }
}

const fn bit(event: Event) -> u32 {
    1 << event as u8
}
