use contracts::delivery::Handover;
use db::Tx;
use kernel::Zone;
use serde::Serialize;
use service_kit::Preconditions;
use utoipa::ToSchema;

use super::DeliveryError;
use crate::{state::State, store::zones};

/// A zone as customers see it.
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

/// Serves a zone, or changes its handover. Bookings keep the handover with which they were made.
pub async fn put_zone(
    tx: &mut Tx<'_>,
    _: &State,
    command: &PutZone,
) -> Result<PutView, DeliveryError> {
    let is_new = zones::add(tx, &command.zone, command.handover).await?;
    command.preconditions.check_existence(!is_new)?;
    if !is_new {
        zones::change(tx, &command.zone, command.handover).await?;
    }
    Ok(PutView {
        zone: ZoneView {
            zone: command.zone.clone(),
            handover: command.handover,
        },
        is_new,
    })
}
