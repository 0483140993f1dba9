use kernel::{Class, Classify, Money};

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum GoodsError {
    #[error("name: 1 to 200 characters in one line, of which at least one is visible")]
    Name,
    #[error("price: 1 to 100000000000 minor units")]
    Price,
    #[error("quantity: 1 to 1000000")]
    Quantity,
}

impl Classify for GoodsError {
    fn class(&self) -> Class {
        Class::Invalid
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Name => "invalid_name",
            Self::Price => "invalid_price",
            Self::Quantity => "invalid_quantity",
        }
    }
}

/// The name without spaces around it.
pub fn parse_name(text: &str) -> Result<String, GoodsError> {
    let name = kernel::label(text, 200);
    name.map(ToOwned::to_owned).ok_or(GoodsError::Name)
}

pub fn check_price(price: Money) -> Result<Money, GoodsError> {
    if price.is_valid_input() {
        Ok(price)
    } else {
        Err(GoodsError::Price)
    }
}

pub fn check_quantity(quantity: i64) -> Result<i64, GoodsError> {
    if (1..=1_000_000).contains(&quantity) {
        Ok(quantity)
    } else {
        Err(GoodsError::Quantity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_goods_is_refused() {
        assert_eq!(parse_name(" Green tea ").unwrap(), "Green tea");
        assert!(parse_name(" ").is_err());
        assert!(parse_name("\u{200b}").is_err());
        assert!(check_price(Money::ZERO).is_err());
        assert!(check_quantity(0).is_err());
        assert!(check_quantity(1_000_001).is_err());
    }
}
