use kernel::Sku;

/// The state of an order's goods. An order of which the warehouse got no event has no parcel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Parcel {
    Refused,
    Reserved,
    /// The goods were given back. It is also the tombstone of a stop that came before the order.
    Released,
    Shipped,
    Returned,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Input {
    /// The order's money is held.
    Held {
        /// The first SKU of which there is too little, if any.
        missing: Option<Sku>,
    },
    StopRequested,
    Captured,
    DeliveryFailed,
    Closed,
}

/// What happens to the stock rows of the order's lines.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StockMove {
    Reserve,
    Release,
    TakeOut,
    PutBack,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Announcement {
    Reserved,
    ReserveRefused(Sku),
    Released,
    ReleaseRefused,
    Shipped,
    Returned,
}

#[derive(Default, PartialEq, Eq, Debug)]
pub struct Decision {
    pub parcel: Option<Parcel>,
    pub stock: Option<StockMove>,
    pub say: Option<Announcement>,
}

impl Decision {
    fn to(parcel: Parcel) -> Self {
        Self {
            parcel: Some(parcel),
            ..Self::default()
        }
    }
    fn moving(self, stock: StockMove) -> Self {
        Self {
            stock: Some(stock),
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

/// Decides what an input changes. A stop is granted once while the goods are here; after the goods
/// have left each stop is refused. An input that no longer applies changes nothing.
pub fn decide(parcel: Option<Parcel>, input: Input) -> Decision {
    use Announcement as Say;
    match (parcel, input) {
        (None, Input::Held { missing: None }) => Decision::to(Parcel::Reserved)
            .moving(StockMove::Reserve)
            .saying(Say::Reserved),
        (None, Input::Held { missing: Some(sku) }) => {
            Decision::to(Parcel::Refused).saying(Say::ReserveRefused(sku))
        }
        // Without a parcel it is the tombstone that keeps a late hold from reserving.
        (None | Some(Parcel::Refused), Input::StopRequested) => {
            Decision::to(Parcel::Released).saying(Say::Released)
        }
        (Some(Parcel::Reserved), Input::StopRequested) => Decision::to(Parcel::Released)
            .moving(StockMove::Release)
            .saying(Say::Released),
        (Some(Parcel::Shipped | Parcel::Returned), Input::StopRequested) => {
            Decision::nothing().saying(Say::ReleaseRefused)
        }
        (Some(Parcel::Reserved), Input::Captured) => Decision::to(Parcel::Shipped)
            .moving(StockMove::TakeOut)
            .saying(Say::Shipped),
        (Some(Parcel::Shipped), Input::DeliveryFailed) => Decision::to(Parcel::Returned)
            .moving(StockMove::PutBack)
            .saying(Say::Returned),
        (Some(Parcel::Reserved), Input::Closed) => {
            Decision::to(Parcel::Released).moving(StockMove::Release)
        }
        _ => Decision::nothing(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HELD: Input = Input::Held { missing: None };

    #[test]
    fn a_hold_after_a_stop_reserves_nothing() {
        let stopped = decide(None, Input::StopRequested).parcel;
        assert_eq!(decide(stopped, HELD), Decision::nothing());
    }

    #[test]
    fn a_stop_after_the_goods_left_is_refused() {
        for parcel in [Parcel::Shipped, Parcel::Returned] {
            let decision = decide(Some(parcel), Input::StopRequested);
            assert_eq!(decision.say, Some(Announcement::ReleaseRefused));
            assert_eq!(decision.parcel, None);
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let sku: Sku = "tea".parse().unwrap();
        let decision = decide(
            None,
            Input::Held {
                missing: Some(sku.clone()),
            },
        );
        assert_eq!(decision.say, Some(Announcement::ReserveRefused(sku)));
        assert_eq!(decision.stock, None);
    }

    proptest! {
        /// In whatever sequence the inputs arrive, goods are reserved at most once, and leave and
        /// come back at most once.
        #[test]
        fn goods_are_never_counted_twice(inputs in prop::collection::vec(0..5_usize, 0..12)) {
            let (mut parcel, mut reserved, mut out) = (None, 0, 0);
            for input in inputs {
                let input = [
                    HELD,
                    Input::StopRequested,
                    Input::Captured,
                    Input::DeliveryFailed,
                    Input::Closed,
                ][input].clone();
                let decision = decide(parcel, input);
                parcel = decision.parcel.or(parcel);
                match decision.stock {
                    Some(StockMove::Reserve) => reserved += 1,
                    Some(StockMove::Release) => reserved -= 1,
                    Some(StockMove::TakeOut) => { reserved -= 1; out += 1; }
                    Some(StockMove::PutBack) => out -= 1,
                    None => {}
                }
                prop_assert!((0..=1).contains(&reserved) && (0..=1).contains(&out));
                prop_assert!(reserved + out <= 1);
                prop_assert_eq!(reserved == 1, parcel == Some(Parcel::Reserved));
                prop_assert_eq!(out == 1, parcel == Some(Parcel::Shipped));
            }
        }
    }
}
