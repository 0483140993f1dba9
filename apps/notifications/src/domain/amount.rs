use kernel::{Currency, Money};

/// An amount as people write it: `12.50 EUR`. ISO 4217 says how many digits are behind the point.
pub fn in_words(amount: Money, currency: Currency) -> String {
    let digits = minor_digits(currency);
    if digits == 0 {
        return format!("{amount} {currency}");
    }
    let unit = 10_u64.pow(digits);
    let (whole, rest) = (
        amount.minor().unsigned_abs() / unit,
        amount.minor().unsigned_abs() % unit,
    );
    let sign = if amount.is_negative() { "-" } else { "" };
    format!(
        "{sign}{whole}.{rest:0width$} {currency}",
        width = digits as usize
    )
}

fn minor_digits(currency: Currency) -> u32 {
    match currency.as_str() {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX"
        | "UYI" | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(minor: i64, currency: &str) -> String {
        in_words(Money::from_minor(minor), currency.parse().unwrap())
    }

    #[test]
    fn the_point_stands_where_the_currency_has_it() {
        assert_eq!(words(1250, "EUR"), "12.50 EUR");
        assert_eq!(words(5, "EUR"), "0.05 EUR");
        assert_eq!(words(1250, "JPY"), "1250 JPY");
        assert_eq!(words(1250, "KWD"), "1.250 KWD");
    }

    #[test]
    fn no_amount_is_too_large_or_too_small() {
        assert_eq!(words(-5, "EUR"), "-0.05 EUR");
        assert_eq!(words(i64::MIN, "EUR"), "-92233720368547758.08 EUR");
        assert_eq!(words(i64::MAX, "EUR"), "92233720368547758.07 EUR");
    }
}
