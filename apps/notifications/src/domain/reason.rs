/// Words for the customer why an order ended as it did, from the reason's code in the events of
/// orders. A code of a newer release, which has no words here, is shown as it is: the customer gets
/// the notification nevertheless.
pub fn in_words(code: &str) -> String {
    let words = match code {
        "insufficient_funds" => "there was too little money on your account",
        "no_account" => "you have no account yet",
        "account_closed" => "your account is closed",
        "out_of_stock" => "we have too little of what you ordered",
        "zone_not_served" => "we do not deliver to this zone",
        "unknown_slot" => "the zone has no such delivery slot",
        "slot_full" => "the delivery slot is full",
        "slot_past" => "the delivery slot is over",
        "recipient_absent" => "nobody was there to take the parcel",
        "customer" => "you asked us to",
        "deadline" => "it took us too long",
        "operator" => "the store stopped it",
        other => return format!("the reason is {}", other.replace('_', " ")),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use contracts::{
        billing::HoldRefusal,
        delivery::{BookingRefusal, FailedReason},
        orders::StopReason,
    };

    use super::*;

    #[test]
    fn every_reason_that_has_a_type_has_words_of_its_own() {
        let codes = [
            HoldRefusal::InsufficientFunds.code(),
            HoldRefusal::NoAccount.code(),
            HoldRefusal::AccountClosed.code(),
            BookingRefusal::ZoneNotServed.code(),
            BookingRefusal::UnknownSlot.code(),
            BookingRefusal::SlotFull.code(),
            BookingRefusal::SlotPast.code(),
            FailedReason::RecipientAbsent.code(),
            StopReason::Customer.code(),
            StopReason::Deadline.code(),
            StopReason::Operator.code(),
        ];
        for code in codes {
            assert!(!in_words(code).starts_with("the reason is"), "{code}");
        }
    }

    #[test]
    fn a_reason_of_a_later_release_is_told_as_it_is() {
        assert_eq!(in_words("parcel_lost"), "the reason is parcel lost");
    }
}
