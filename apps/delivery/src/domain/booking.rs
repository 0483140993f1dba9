use contracts::delivery::{BookingRefusal, Handover};
use kernel::{Class, Classify};

/// The state of an order's delivery. An order of which delivery got no event has no booking.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Booking {
    Refused,
    Booked(Handover),
    OutForDelivery,
    Delivered,
    Failed,
    /// The place is free again. It is also the tombstone of an order whose verdict came first.
    Freed,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Input {
    /// The goods are set aside. The order gets a place in its slot, or not.
    Reserved(Result<Handover, BookingRefusal>),
    Shipped,
    Reported(CourierOutcome),
    Closed,
}

/// What a courier reports.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CourierOutcome {
    Delivered,
    RecipientAbsent,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Announcement {
    Booked(Handover),
    BookingRefused(BookingRefusal),
    Delivered,
    Failed,
}

/// What happens to the slot's places.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PlaceMove {
    Take,
    GiveBack,
}

#[derive(Default, PartialEq, Eq, Debug)]
pub struct Decision {
    pub booking: Option<Booking>,
    pub place: Option<PlaceMove>,
    pub say: Option<Announcement>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("this parcel is not out for delivery: its outcome is known, or it has not left")]
pub struct NotOutForDelivery;

impl Classify for NotOutForDelivery {
    fn class(&self) -> Class {
        Class::Conflict
    }
    fn code(&self) -> &'static str {
        "not_out_for_delivery"
    }
}

impl Decision {
    fn to(booking: Booking) -> Self {
        Self {
            booking: Some(booking),
            ..Self::default()
        }
    }
    fn moving(self, place: PlaceMove) -> Self {
        Self {
            place: Some(place),
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

/// Decides what an input changes. An order gets one place and gives it back once; a locker takes a
/// shipped parcel at once. An input that no longer applies changes nothing.
pub fn decide(booking: Option<Booking>, input: Input) -> Decision {
    use Announcement as Say;
    match (booking, input) {
        (None, Input::Reserved(Ok(handover))) => Decision::to(Booking::Booked(handover))
            .moving(PlaceMove::Take)
            .saying(Say::Booked(handover)),
        (None, Input::Reserved(Err(reason))) => {
            Decision::to(Booking::Refused).saying(Say::BookingRefused(reason))
        }
        (Some(Booking::Booked(Handover::Locker)), Input::Shipped)
        | (Some(Booking::OutForDelivery), Input::Reported(CourierOutcome::Delivered)) => {
            Decision::to(Booking::Delivered).saying(Say::Delivered)
        }
        (Some(Booking::Booked(Handover::Courier)), Input::Shipped) => {
            Decision::to(Booking::OutForDelivery)
        }
        (Some(Booking::OutForDelivery), Input::Reported(CourierOutcome::RecipientAbsent)) => {
            Decision::to(Booking::Failed).saying(Say::Failed)
        }
        // The tombstone that keeps a late reservation from being booked.
        (None, Input::Closed) => Decision::to(Booking::Freed),
        (Some(Booking::Booked(_) | Booking::Failed), Input::Closed) => {
            Decision::to(Booking::Freed).moving(PlaceMove::GiveBack)
        }
        _ => Decision::nothing(),
    }
}

/// Decides about a courier's report, which is accepted once, and only while the parcel is out for
/// delivery.
pub fn report(
    booking: Option<Booking>,
    outcome: CourierOutcome,
) -> Result<Decision, NotOutForDelivery> {
    let decision = decide(booking, Input::Reported(outcome));
    if decision.booking.is_some() {
        Ok(decision)
    } else {
        Err(NotOutForDelivery)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLACE: Input = Input::Reserved(Ok(Handover::Courier));

    #[test]
    fn a_reservation_after_the_verdict_books_nothing() {
        let tombstone = decide(None, Input::Closed).booking;
        assert_eq!(decide(tombstone, PLACE), Decision::nothing());
    }

    #[test]
    fn a_locker_takes_a_parcel_at_once() {
        let booked = decide(None, Input::Reserved(Ok(Handover::Locker))).booking;
        assert_eq!(
            decide(booked, Input::Shipped).say,
            Some(Announcement::Delivered)
        );
    }

    #[test]
    fn a_courier_reports_once_and_only_while_out() {
        let booked = decide(None, PLACE).booking;
        assert_eq!(
            report(booked, CourierOutcome::Delivered),
            Err(NotOutForDelivery)
        );
        let out = decide(booked, Input::Shipped).booking;
        let absent = report(out, CourierOutcome::RecipientAbsent).unwrap();
        assert_eq!(absent.say, Some(Announcement::Failed));
        assert_eq!(
            report(absent.booking, CourierOutcome::Delivered),
            Err(NotOutForDelivery)
        );
    }

    proptest! {
        /// In whatever sequence the inputs arrive, a place is taken at most once and given back at
        /// most once.
        #[test]
        fn a_place_is_taken_and_given_back_once(
            inputs in prop::collection::vec(0..5_usize, 0..12),
        ) {
            let (mut booking, mut taken) = (None, Vec::new());
            for input in inputs {
                let input = [
                    PLACE,
                    Input::Shipped,
                    Input::Reported(CourierOutcome::Delivered),
                    Input::Reported(CourierOutcome::RecipientAbsent),
                    Input::Closed,
                ][input];
                let decision = decide(booking, input);
                booking = decision.booking.or(booking);
                taken.extend(decision.place);
            }
            let expected =
                [&[][..], &[PlaceMove::Take], &[PlaceMove::Take, PlaceMove::GiveBack]];
            prop_assert!(expected.contains(&&taken[..]));
            let has_place = taken.len() == 1;
            let needs_place = matches!(
                booking,
                Some(
                    Booking::Booked(_)
                        | Booking::OutForDelivery
                        | Booking::Delivered
                        | Booking::Failed
                )
            );
            prop_assert_eq!(has_place, needs_place);
        }
    }
}
