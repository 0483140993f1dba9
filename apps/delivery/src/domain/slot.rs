use chrono::{DateTime, Utc};
use contracts::delivery::{BookingRefusal, Handover};
use kernel::{Class, Classify, Zone};

/// A time slot of a zone, with its places: 0 <= booked <= capacity, always.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slot {
    pub zone: Zone,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub capacity: i64,
    pub booked: i64,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    #[error("a slot starts before it ends")]
    Backwards,
    #[error("a slot ends in the future")]
    Past,
    #[error("capacity: 1 to 100000")]
    Capacity,
    /// The bookings and the slot contradict each other.
    #[error("the slot has no such place")]
    Contradiction,
}

impl Classify for SlotError {
    fn class(&self) -> Class {
        match self {
            Self::Contradiction => Class::Bug,
            _ => Class::Invalid,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Backwards | Self::Past => "invalid_slot_times",
            Self::Capacity => "invalid_capacity",
            Self::Contradiction => "internal_error",
        }
    }
}

impl Slot {
    /// A slot without bookings, which ends after `now`.
    pub fn new(
        zone: Zone,
        (starts_at, ends_at): (DateTime<Utc>, DateTime<Utc>),
        capacity: i64,
        now: DateTime<Utc>,
    ) -> Result<Self, SlotError> {
        if starts_at >= ends_at {
            return Err(SlotError::Backwards);
        }
        if ends_at <= now {
            return Err(SlotError::Past);
        }
        if !(1..=100_000).contains(&capacity) {
            return Err(SlotError::Capacity);
        }
        Ok(Self {
            zone,
            starts_at,
            ends_at,
            capacity,
            booked: 0,
        })
    }

    /// Places that can be booked.
    pub fn free(&self) -> i64 {
        self.capacity - self.booked
    }

    /// The number of booked places after `places` more, or with a negative number fewer.
    pub fn after(&self, places: i64) -> Result<i64, SlotError> {
        let booked = self.booked + places;
        if (0..=self.capacity).contains(&booked) {
            Ok(booked)
        } else {
            Err(SlotError::Contradiction)
        }
    }
}

/// Offers an order a place in a slot: returns how its parcel is handed over, or why it gets no
/// place.
pub fn offer(
    zone: &Zone,
    handover: Option<Handover>,
    slot: Option<&Slot>,
    now: DateTime<Utc>,
) -> Result<Handover, BookingRefusal> {
    let handover = handover.ok_or(BookingRefusal::ZoneNotServed)?;
    // A slot of another zone counts as unknown.
    let slot = slot
        .filter(|slot| slot.zone == *zone)
        .ok_or(BookingRefusal::UnknownSlot)?;
    if slot.ends_at <= now {
        return Err(BookingRefusal::SlotPast);
    }
    if slot.free() < 1 {
        return Err(BookingRefusal::SlotFull);
    }
    Ok(handover)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn slot(capacity: i64, booked: i64) -> Slot {
        let zone = "a".parse().unwrap();
        Slot {
            zone,
            starts_at: noon(),
            ends_at: noon() + TimeDelta::hours(1),
            capacity,
            booked,
        }
    }

    #[test]
    fn each_reason_for_no_place_is_named() {
        let (a, b): (Zone, Zone) = ("a".parse().unwrap(), "b".parse().unwrap());
        let (locker, now) = (Some(Handover::Locker), noon());
        assert_eq!(
            offer(&a, locker, Some(&slot(1, 0)), now),
            Ok(Handover::Locker)
        );
        assert_eq!(
            offer(&a, None, Some(&slot(1, 0)), now),
            Err(BookingRefusal::ZoneNotServed)
        );
        assert_eq!(
            offer(&a, locker, None, now),
            Err(BookingRefusal::UnknownSlot)
        );
        assert_eq!(
            offer(&b, locker, Some(&slot(1, 0)), now),
            Err(BookingRefusal::UnknownSlot)
        );
        assert_eq!(
            offer(&a, locker, Some(&slot(1, 1)), now),
            Err(BookingRefusal::SlotFull)
        );
        let later = now + TimeDelta::hours(1);
        assert_eq!(
            offer(&a, locker, Some(&slot(1, 0)), later),
            Err(BookingRefusal::SlotPast)
        );
    }

    #[test]
    fn what_makes_no_slot_is_refused() {
        let (zone, now) = ("a".parse::<Zone>().unwrap(), noon());
        let hour = TimeDelta::hours(1);
        let make =
            |from, to, capacity| Slot::new(zone.clone(), (from, to), capacity, now).map(|_| ());
        assert_eq!(make(now, now + hour, 1), Ok(()));
        assert_eq!(make(now, now, 1), Err(SlotError::Backwards));
        assert_eq!(make(now - hour * 2, now - hour, 1), Err(SlotError::Past));
        assert_eq!(make(now, now + hour, 0), Err(SlotError::Capacity));
    }

    proptest! {
        /// The reference is the set of orders that have a place.
        #[test]
        fn bookings_never_exceed_the_capacity(
            capacity in 1..5_i64,
            changes in prop::collection::vec((0..8_u8, any::<bool>()), 0..60),
        ) {
            let mut slot = slot(capacity, 0);
            let mut placed = std::collections::BTreeSet::new();
            for (order, books) in changes {
                if books && !placed.contains(&order) {
                    let zone = slot.zone.clone();
                    let offered = offer(&zone, Some(Handover::Locker), Some(&slot), noon());
                    let has_place = i64::try_from(placed.len()).unwrap() < capacity;
                    prop_assert_eq!(offered.is_ok(), has_place);
                    if offered.is_ok() {
                        slot.booked = slot.after(1).unwrap();
                        placed.insert(order);
                    }
                } else if !books && placed.remove(&order) {
                    slot.booked = slot.after(-1).unwrap();
                }
                prop_assert_eq!(slot.booked, i64::try_from(placed.len()).unwrap());
            }
        }
    }
}
