use kernel::{Class, Classify, UserId};

/// A person of the store who handles parcels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Staff {
    Courier(UserId),
    Manager(UserId),
}

/// Why a person may not handle a parcel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParcelDenied {
    #[error(
        "you ordered this parcel yourself: another courier delivers it, and reports its outcome"
    )]
    OwnOrder,
    #[error(
        "this parcel is not yours: take it with PUT /api/deliveries/{{order_id}}/courier, if it is \
         free"
    )]
    NotYours,
    #[error("another courier has taken this parcel; a manager can give it to you")]
    Taken,
    #[error("a courier takes parcels for themselves; to give one to another is for managers")]
    ForAnother,
}

impl Classify for ParcelDenied {
    fn class(&self) -> Class {
        match self {
            Self::OwnOrder | Self::NotYours | Self::ForAnother => Class::Denied,
            Self::Taken => Class::Conflict,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::OwnOrder => "own_order",
            Self::NotYours => "not_your_parcel",
            Self::Taken => "parcel_taken",
            Self::ForAnother => "role_denied",
        }
    }
}

/// A parcel that is to be delivered, or was: the customer who ordered it, and the courier who
/// delivers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parcel {
    pub customer: UserId,
    pub courier: Option<UserId>,
}

impl Staff {
    const fn person(self) -> UserId {
        match self {
            Self::Courier(person) | Self::Manager(person) => person,
        }
    }

    /// Whether this person may give the parcel to the courier `wanted`, or with `None` make it free
    /// to take. A courier takes free parcels and gives their own back; a manager gives a parcel to
    /// any courier but the one who ordered it.
    pub fn may_assign(self, parcel: Parcel, wanted: Option<UserId>) -> Result<(), ParcelDenied> {
        if wanted == Some(parcel.customer) {
            return Err(ParcelDenied::OwnOrder);
        }
        match (self, wanted) {
            (Self::Manager(_), _) => Ok(()),
            (Self::Courier(courier), Some(wanted)) if wanted != courier => {
                Err(ParcelDenied::ForAnother)
            }
            (Self::Courier(courier), Some(_)) => match parcel.courier {
                Some(other) if other != courier => Err(ParcelDenied::Taken),
                _ => Ok(()),
            },
            (Self::Courier(courier), None) => match parcel.courier {
                Some(other) if other != courier => Err(ParcelDenied::NotYours),
                _ => Ok(()),
            },
        }
    }

    /// Whether this person may report the parcel's outcome: its courier may, and a manager, but
    /// never the customer who ordered it.
    pub fn may_report(self, parcel: Parcel) -> Result<(), ParcelDenied> {
        if self.person() == parcel.customer {
            return Err(ParcelDenied::OwnOrder);
        }
        match self {
            Self::Courier(courier) if parcel.courier != Some(courier) => {
                Err(ParcelDenied::NotYours)
            }
            Self::Courier(_) | Self::Manager(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parcel_is_for_its_courier_and_never_for_the_person_who_ordered_it() {
        let [customer, one, two] = [(); 3].map(|()| UserId::new());
        let of = |courier| Parcel { customer, courier };
        let (free, taken) = (of(None), of(Some(one)));
        let (one_is, two_is) = (Staff::Courier(one), Staff::Courier(two));

        assert_eq!(one_is.may_assign(free, Some(one)), Ok(()));
        assert_eq!(one_is.may_assign(taken, Some(one)), Ok(()));
        assert_eq!(
            two_is.may_assign(taken, Some(two)),
            Err(ParcelDenied::Taken)
        );
        assert_eq!(
            one_is.may_assign(free, Some(two)),
            Err(ParcelDenied::ForAnother)
        );
        assert_eq!(one_is.may_assign(taken, None), Ok(()));
        assert_eq!(one_is.may_assign(free, None), Ok(()));
        assert_eq!(two_is.may_assign(taken, None), Err(ParcelDenied::NotYours));
        assert_eq!(one_is.may_report(taken), Ok(()));
        assert_eq!(one_is.may_report(free), Err(ParcelDenied::NotYours));
        assert_eq!(two_is.may_report(taken), Err(ParcelDenied::NotYours));

        // Also where the customer is a manager, or got the parcel from an earlier release, which
        // did not check it.
        for role in [Staff::Courier, Staff::Manager] {
            let they = role(customer);
            assert_eq!(
                they.may_assign(free, Some(customer)),
                Err(ParcelDenied::OwnOrder)
            );
            assert_eq!(they.may_report(free), Err(ParcelDenied::OwnOrder));
            assert_eq!(
                they.may_report(of(Some(customer))),
                Err(ParcelDenied::OwnOrder)
            );
        }
        let manager = Staff::Manager(UserId::new());
        assert_eq!(manager.may_assign(taken, Some(two)), Ok(()));
        assert_eq!(
            manager.may_assign(free, Some(customer)),
            Err(ParcelDenied::OwnOrder)
        );
        assert_eq!(manager.may_report(free), Ok(()));
    }
}
