use contracts::delivery::Handover;
use db::Tx;
use kernel::Zone;
use serde::Serialize;
use service_kit::Preconditions;
use utoipa::ToSchema;

use super::DeliveryError;
use crate::{State, store::zones};

/// A zone as everyone sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ZoneView {
    pub zone: Zone,
    /// `locker` or `courier`.
    #[schema(value_type = String)]
    pub handover: Handover,
}

pub struct PutZone {
    pub zone: Zone,
    pub handover: Handover,
    pub preconditions: Preconditions,
}

pub struct PutView {
    pub zone: ZoneView,
    pub is_new: bool,
}

/// Serves a zone, or serves it in another way. Bookings keep the way in which they were made.
pub async fn put_zone(
    tx: &mut Tx<'_>,
    _: &State,
    wish: &PutZone,
) -> Result<PutView, DeliveryError> {
    let is_new = zones::add(tx, &wish.zone, wish.handover).await?;
    wish.preconditions.check_existence(!is_new)?;
    if !is_new {
        zones::change(tx, &wish.zone, wish.handover).await?;
    }
    Ok(PutView {
        zone: ZoneView {
            zone: wish.zone.clone(),
            handover: wish.handover,
        },
        is_new,
    })
}
