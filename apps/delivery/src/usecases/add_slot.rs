use chrono::{DateTime, Utc};
use db::Tx;
use kernel::{SlotId, Zone};
use serde::Serialize;
use utoipa::ToSchema;

use super::DeliveryError;
use crate::{
    domain::slot::Slot,
    state::State,
    store::{slots, zones},
};

/// A slot as customers see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct SlotView {
    pub id: SlotId,
    pub zone: Zone,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub capacity: i64,
    /// Places that can be booked.
    pub free: i64,
}

impl SlotView {
    pub fn of(id: SlotId, slot: Slot) -> Self {
        let free = slot.free();
        let Slot {
            zone,
            starts_at,
            ends_at,
            capacity,
            ..
        } = slot;
        Self {
            id,
            zone,
            starts_at,
            ends_at,
            capacity,
            free,
        }
    }
}

pub struct AddSlot {
    pub zone: Zone,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub capacity: i64,
}

/// Adds a time slot to a zone that is served.
pub async fn add_slot(
    tx: &mut Tx<'_>,
    _: &State,
    command: &AddSlot,
) -> Result<SlotView, DeliveryError> {
    let times = (command.starts_at, command.ends_at);
    let slot = Slot::new(
        command.zone.clone(),
        times,
        command.capacity,
        tx.now().await?,
    )?;
    zones::handover(tx, &command.zone)
        .await?
        .ok_or(DeliveryError::UnknownZone)?;
    let id = SlotId::new();
    slots::add(tx, id, &slot).await?;
    Ok(SlotView::of(id, slot))
}
