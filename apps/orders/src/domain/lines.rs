use std::collections::BTreeMap;

use contracts::Line;
use kernel::{Class, Classify, Money, Sku};

/// A line of an order that a customer wants to place: it has no price yet.
#[derive(Clone, Debug)]
pub struct WantedLine {
    pub sku: Sku,
    pub quantity: u32,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinesError {
    #[error("an order has 1 to 100 lines")]
    Count,
    #[error("a line has 1 to 10000 pieces")]
    Quantity,
    #[error("there are no goods with the SKU {0}")]
    UnknownSku(Sku),
    #[error("the total is more than an order may cost")]
    TooExpensive,
}

impl Classify for LinesError {
    fn class(&self) -> Class {
        Class::Invalid
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Count => "invalid_lines",
            Self::Quantity => "invalid_quantity",
            Self::UnknownSku(_) => "unknown_sku",
            Self::TooExpensive => "too_expensive",
        }
    }
}

/// Bounds the lines of an order, and with them the size of its events: each carries all lines.
const MAX_LINES: usize = 100;
/// Bounds the pieces of one SKU in an order, far above what a customer buys.
const MAX_PIECES: u32 = 10_000;

/// Each wanted SKU once, with the sum of its pieces, by SKU.
pub fn sum(wanted: &[WantedLine]) -> Result<BTreeMap<Sku, u32>, LinesError> {
    if !(1..=MAX_LINES).contains(&wanted.len()) {
        return Err(LinesError::Count);
    }
    let mut sums = BTreeMap::new();
    for WantedLine { sku, quantity } in wanted {
        let sum: &mut u32 = sums.entry(sku.clone()).or_default();
        *sum = sum.checked_add(*quantity).ok_or(LinesError::Quantity)?;
        if !(1..=MAX_PIECES).contains(quantity) || *sum > MAX_PIECES {
            return Err(LinesError::Quantity);
        }
    }
    Ok(sums)
}

/// The order's lines at today's prices, and their total.
pub fn price(
    wanted: &BTreeMap<Sku, u32>,
    prices: &BTreeMap<Sku, Money>,
) -> Result<(Vec<Line>, Money), LinesError> {
    let mut total = Money::ZERO;
    let mut lines = Vec::with_capacity(wanted.len());
    for (sku, quantity) in wanted {
        let unit_price = *prices
            .get(sku)
            .ok_or_else(|| LinesError::UnknownSku(sku.clone()))?;
        let sum = unit_price
            .times(*quantity)
            .and_then(|line| total.checked_add(line));
        total = sum
            .filter(|sum| sum.is_valid_input())
            .ok_or(LinesError::TooExpensive)?;
        lines.push(Line {
            sku: sku.clone(),
            quantity: *quantity,
            unit_price,
        });
    }
    Ok((lines, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted_line(sku: &str, quantity: u32) -> WantedLine {
        WantedLine {
            sku: sku.parse().unwrap(),
            quantity,
        }
    }

    fn prices(list: &[(&str, i64)]) -> BTreeMap<Sku, Money> {
        list.iter()
            .map(|(sku, price)| (sku.parse().unwrap(), Money::from_minor(*price)))
            .collect()
    }

    #[test]
    fn repeated_skus_are_summed() {
        let sums = sum(&[
            wanted_line("b", 1),
            wanted_line("a", 2),
            wanted_line("b", 3),
        ])
        .unwrap();
        let (lines, total) = price(&sums, &prices(&[("a", 10), ("b", 7)])).unwrap();
        assert_eq!(
            lines
                .iter()
                .map(|line| (line.sku.as_str(), line.quantity))
                .collect::<Vec<_>>(),
            [("a", 2), ("b", 4)]
        );
        assert_eq!(total, Money::from_minor(48));
    }

    #[test]
    fn what_makes_no_order_is_refused() {
        assert_eq!(sum(&[]), Err(LinesError::Count));
        assert_eq!(sum(&vec![wanted_line("a", 1); 101]), Err(LinesError::Count));
        assert_eq!(sum(&[wanted_line("a", 0)]), Err(LinesError::Quantity));
        assert_eq!(
            sum(&[wanted_line("a", 6000), wanted_line("a", 6000)]),
            Err(LinesError::Quantity)
        );
        let wanted = sum(&[wanted_line("a", 10_000)]).unwrap();
        assert_eq!(
            price(&wanted, &prices(&[])),
            Err(LinesError::UnknownSku("a".parse().unwrap()))
        );
        assert_eq!(
            price(&wanted, &prices(&[("a", 100_000_000_000)])),
            Err(LinesError::TooExpensive)
        );
        assert_eq!(
            price(&wanted, &prices(&[("a", i64::MAX)])),
            Err(LinesError::TooExpensive)
        );
    }
}
