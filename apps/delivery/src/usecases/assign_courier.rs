use db::Tx;
use kernel::{OrderId, UserId};
use serde::Serialize;
use service_kit::Preconditions;
use utoipa::ToSchema;

use super::DeliveryError;
use crate::{
    State,
    domain::{
        booking::{Booking, NotOutForDelivery},
        hands::{Hands, Parcel},
    },
    store::bookings,
};

pub struct AssignCourier {
    pub order_id: OrderId,
    pub by: Hands,
    /// `None` makes the parcel free to take.
    pub courier: Option<UserId>,
    pub preconditions: Preconditions,
}

/// Who delivers a parcel.
#[derive(Debug, Serialize, ToSchema)]
pub struct CourierView {
    pub order_id: OrderId,
    pub courier_id: UserId,
}

/// Has a parcel delivered by another person than before, while it is out for delivery. `true` if it
/// had no courier.
pub async fn assign_courier(
    tx: &mut Tx<'_>,
    _: &State,
    wish: &AssignCourier,
) -> Result<bool, DeliveryError> {
    let row = bookings::locked(tx, wish.order_id)
        .await?
        .ok_or(DeliveryError::UnknownDelivery)?;
    let parcel = Parcel {
        customer: row.user_id,
        courier: row.courier_id,
    };
    wish.by.may_assign(parcel, wish.courier)?;
    wish.preconditions
        .check_existence(parcel.courier.is_some())?;
    if parcel.courier != wish.courier {
        if row.booking != Booking::OutForDelivery {
            return Err(NotOutForDelivery.into());
        }
        bookings::assign(tx, wish.order_id, row, wish.courier);
    }
    Ok(parcel.courier.is_none())
}
