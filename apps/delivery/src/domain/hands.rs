use kernel::{Class, Classify, UserId};

/// A person who sees to parcels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hands {
    Courier(UserId),
    Manager(UserId),
}

/// Why a parcel is not for these hands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotForThem {
    #[error(
        "you ordered this parcel yourself: another courier delivers it, and reports its outcome"
    )]
    OwnOrder,
    #[error(
        "this parcel is not yours: take it with PUT /api/deliveries/{{order_id}}/courier, if it is free"
    )]
    NotYours,
    #[error("another courier has taken this parcel; a manager can give it to you")]
    Taken,
    #[error("a courier takes parcels for themselves; to give one to another is for managers")]
    ForAnother,
}

impl Classify for NotForThem {
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

/// A parcel that is to be delivered, or was: who ordered it, and who delivers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parcel {
    pub customer: UserId,
    pub courier: Option<UserId>,
}

impl Hands {
    const fn person(self) -> UserId {
        match self {
            Self::Courier(person) | Self::Manager(person) => person,
        }
    }

    /// Whether they may have the parcel delivered by `wanted`, or by no one yet. A courier takes
    /// what is free and gives back what is theirs; a manager gives it to any courier but the one
    /// who ordered it.
    pub fn may_assign(self, parcel: Parcel, wanted: Option<UserId>) -> Result<(), NotForThem> {
        if wanted == Some(parcel.customer) {
            return Err(NotForThem::OwnOrder);
        }
        match (self, wanted) {
            (Self::Manager(_), _) => Ok(()),
            (Self::Courier(courier), Some(wanted)) if wanted != courier => {
                Err(NotForThem::ForAnother)
            }
            (Self::Courier(courier), Some(_)) => match parcel.courier {
                Some(other) if other != courier => Err(NotForThem::Taken),
                _ => Ok(()),
            },
            (Self::Courier(courier), None) => match parcel.courier {
                Some(other) if other != courier => Err(NotForThem::NotYours),
                _ => Ok(()),
            },
        }
    }

    /// Whether they may report what became of the parcel: its courier may, and a manager, but never
    /// the person who ordered it.
    pub fn may_report(self, parcel: Parcel) -> Result<(), NotForThem> {
        if self.person() == parcel.customer {
            return Err(NotForThem::OwnOrder);
        }
        match self {
            Self::Courier(courier) if parcel.courier != Some(courier) => Err(NotForThem::NotYours),
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
        let (one_is, two_is) = (Hands::Courier(one), Hands::Courier(two));

        assert_eq!(one_is.may_assign(free, Some(one)), Ok(()));
        assert_eq!(one_is.may_assign(taken, Some(one)), Ok(()));
        assert_eq!(two_is.may_assign(taken, Some(two)), Err(NotForThem::Taken));
        assert_eq!(
            one_is.may_assign(free, Some(two)),
            Err(NotForThem::ForAnother)
        );
        assert_eq!(one_is.may_assign(taken, None), Ok(()));
        assert_eq!(one_is.may_assign(free, None), Ok(()));
        assert_eq!(two_is.may_assign(taken, None), Err(NotForThem::NotYours));
        assert_eq!(one_is.may_report(taken), Ok(()));
        assert_eq!(one_is.may_report(free), Err(NotForThem::NotYours));
        assert_eq!(two_is.may_report(taken), Err(NotForThem::NotYours));

        // Also where the customer is a manager, or has the parcel from a release that did not ask.
        for role in [Hands::Courier, Hands::Manager] {
            let they = role(customer);
            assert_eq!(
                they.may_assign(free, Some(customer)),
                Err(NotForThem::OwnOrder)
            );
            assert_eq!(they.may_report(free), Err(NotForThem::OwnOrder));
            assert_eq!(
                they.may_report(of(Some(customer))),
                Err(NotForThem::OwnOrder)
            );
        }
        let manager = Hands::Manager(UserId::new());
        assert_eq!(manager.may_assign(taken, Some(two)), Ok(()));
        assert_eq!(
            manager.may_assign(free, Some(customer)),
            Err(NotForThem::OwnOrder)
        );
        assert_eq!(manager.may_report(free), Ok(()));
    }
}
