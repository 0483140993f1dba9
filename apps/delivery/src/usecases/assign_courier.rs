use db::Tx;
use kernel::{OrderId, UserId};
use serde::Serialize;
use service_kit::Preconditions;
use utoipa::ToSchema;

use super::DeliveryError;
use crate::{
    domain::{
        booking::{Booking, NotOutForDelivery},
        staff::{Parcel, Staff},
    },
    state::State,
    store::bookings,
};

pub struct AssignCourier {
    pub order_id: OrderId,
    /// The caller.
    pub by: Staff,
    /// `None` makes the parcel free to take.
    pub courier: Option<UserId>,
    pub preconditions: Preconditions,
}

/// The courier who delivers a parcel.
#[derive(Debug, Serialize, ToSchema)]
pub struct CourierView {
    pub order_id: OrderId,
    pub courier_id: UserId,
}

/// Gives a parcel to a courier, or makes it free to take, while it is out for delivery. `true` if
/// it had no courier.
pub async fn assign_courier(
    tx: &mut Tx<'_>,
    _: &State,
    command: &AssignCourier,
) -> Result<bool, DeliveryError> {
    let row = bookings::locked(tx, command.order_id)
        .await?
        .ok_or(DeliveryError::UnknownDelivery)?;
    let parcel = Parcel {
        customer: row.user_id,
        courier: row.courier_id,
    };
    command.by.may_assign(parcel, command.courier)?;
    command
        .preconditions
        .check_existence(parcel.courier.is_some())?;
    if parcel.courier != command.courier {
        if row.booking != Booking::OutForDelivery {
            return Err(NotOutForDelivery.into());
        }
        bookings::assign(tx, command.order_id, row, command.courier);
    }
    Ok(parcel.courier.is_none())
}
