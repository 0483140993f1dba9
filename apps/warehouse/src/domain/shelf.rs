use kernel::{Class, Classify, Sku};

use super::parcel::StockMove;

/// The stock of one SKU, in pieces: 0 <= reserved <= on hand, always.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Shelf {
    pub on_hand: i64,
    pub reserved: i64,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShelfError {
    #[error("the shelf cannot hold that many")]
    Full,
    /// The parcels and the shelf contradict each other.
    #[error("the shelf does not hold what is asked of it")]
    Short,
}

impl Classify for ShelfError {
    fn class(&self) -> Class {
        match self {
            Self::Full => Class::Invalid,
            Self::Short => Class::Bug,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Full => "shelf_full",
            Self::Short => "internal_error",
        }
    }
}

/// Bounds the pieces of one SKU, so that sums of pieces stay far from overflow.
const MAX_PIECES: i64 = 1_000_000_000;

impl Shelf {
    /// Pieces that can be ordered.
    pub fn available(self) -> i64 {
        self.on_hand - self.reserved
    }

    /// The shelf after `quantity` pieces came in.
    pub fn receive(self, quantity: i64) -> Result<Self, ShelfError> {
        let on_hand = self
            .on_hand
            .checked_add(quantity)
            .filter(|on_hand| *on_hand <= MAX_PIECES)
            .ok_or(ShelfError::Full)?;
        Ok(Self { on_hand, ..self })
    }

    /// The shelf after a parcel's move of `quantity` pieces.
    pub fn apply(self, stock: StockMove, quantity: i64) -> Result<Self, ShelfError> {
        let Self { on_hand, reserved } = self;
        let after = match stock {
            StockMove::Reserve => Self {
                on_hand,
                reserved: reserved + quantity,
            },
            StockMove::Release => Self {
                on_hand,
                reserved: reserved - quantity,
            },
            StockMove::TakeOut => Self {
                on_hand: on_hand - quantity,
                reserved: reserved - quantity,
            },
            StockMove::PutBack => Self {
                on_hand: on_hand + quantity,
                reserved,
            },
        };
        if 0 <= after.reserved && after.reserved <= after.on_hand {
            Ok(after)
        } else {
            Err(ShelfError::Short)
        }
    }
}

/// The first SKU, in the order of the lines, of which there is too little. A SKU without a shelf
/// has no pieces.
pub fn missing(lines: impl IntoIterator<Item = (Sku, i64, Option<Shelf>)>) -> Option<Sku> {
    let short = lines
        .into_iter()
        .find(|(_, quantity, shelf)| shelf.is_none_or(|shelf| shelf.available() < *quantity));
    short.map(|(sku, ..)| sku)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_line_that_lacks_is_named() {
        let sku = |name: &str| name.parse::<Sku>().unwrap();
        let full = Some(Shelf {
            on_hand: 5,
            reserved: 2,
        });
        assert_eq!(
            missing([
                (sku("a"), 3, full),
                (sku("b"), 4, full),
                (sku("c"), 1, None)
            ]),
            Some(sku("b"))
        );
        assert_eq!(
            missing([(sku("a"), 3, full), (sku("c"), 1, None)]),
            Some(sku("c"))
        );
        assert_eq!(missing([(sku("a"), 3, full)]), None);
    }

    proptest! {
        /// The reference counts single pieces: free, reserved, and gone.
        #[test]
        fn stock_follows_a_count_of_pieces(
            moves in prop::collection::vec((0..5_u8, 1..20_i64), 0..200),
        ) {
            let mut shelf = Shelf::default();
            let (mut free, mut reserved, mut gone) = (0_i64, 0_i64, 0_i64);
            for (kind, quantity) in moves {
                let is_possible = match kind {
                    1 => free >= quantity,
                    2 | 3 => reserved >= quantity,
                    _ => true,
                };
                let (outcome, next) = match kind {
                    0 => (shelf.receive(quantity), (free + quantity, reserved, gone)),
                    1 => (
                        shelf.apply(StockMove::Reserve, quantity),
                        (free - quantity, reserved + quantity, gone),
                    ),
                    2 => (
                        shelf.apply(StockMove::Release, quantity),
                        (free + quantity, reserved - quantity, gone),
                    ),
                    3 => (
                        shelf.apply(StockMove::TakeOut, quantity),
                        (free, reserved - quantity, gone + quantity),
                    ),
                    _ => (
                        shelf.apply(StockMove::PutBack, quantity),
                        (free + quantity, reserved, gone - quantity),
                    ),
                };
                prop_assert_eq!(outcome.is_ok(), is_possible);
                if let Ok(after) = outcome {
                    shelf = after;
                    (free, reserved, gone) = next;
                }
                prop_assert_eq!(shelf, Shelf { on_hand: free + reserved, reserved });
            }
        }
    }
}
