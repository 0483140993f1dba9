use chrono::{DateTime, Utc};
use db::Tx;
use kernel::{SlotId, Zone};
use serde::Serialize;
use utoipa::ToSchema;

use super::DeliveryError;
use crate::{
    State,
    domain::slot::Slot,
    store::{slots, zones},
};

/// A slot as everyone sees it.
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
    wish: &AddSlot,
) -> Result<SlotView, DeliveryError> {
    let times = (wish.starts_at, wish.ends_at);
    let slot = Slot::new(wish.zone.clone(), times, wish.capacity, tx.now().await?)?;
    zones::handover(tx, &wish.zone)
        .await?
        .ok_or(DeliveryError::UnknownZone)?;
    let id = SlotId::new();
    slots::add(tx, id, &slot).await?;
    Ok(SlotView::of(id, slot))
}
