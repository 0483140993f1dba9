use chrono::{DateTime, Utc};
use db::Tx;
use kernel::{OrderId, SlotId, UserId, Zone};
use serde::Serialize;
use service_kit::{Page, PageQuery};
use utoipa::ToSchema;

use super::DeliveryError;
use crate::{state::State, store::bookings};

/// A parcel on a courier's run.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryView {
    pub order_id: OrderId,
    pub zone: Zone,
    pub slot_id: SlotId,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    /// `out_for_delivery`, `delivered` or `failed`.
    pub status: String,
    /// The courier who delivers it; null while it is free to take.
    pub courier_id: Option<UserId>,
}

pub struct ListDeliveries {
    pub status: String,
    /// Only the parcels of this courier, and those that are free to take.
    pub seen_by: Option<UserId>,
    pub page: PageQuery,
}

/// The parcels of one status, the earliest order first. A courier sees their own, and those that
/// they may take.
pub async fn list_deliveries(
    tx: &mut Tx<'_>,
    _: &State,
    query: &ListDeliveries,
) -> Result<Page<DeliveryView>, DeliveryError> {
    let limit = query.page.limit()?;
    let after = query.page.after()?;
    let found = bookings::in_state(tx, &query.status, query.seen_by, after, limit + 1).await?;
    let items = found.into_iter().map(|run| DeliveryView {
        order_id: run.order_id,
        zone: run.zone,
        slot_id: run.slot_id,
        starts_at: run.starts_at,
        ends_at: run.ends_at,
        status: query.status.clone(),
        courier_id: run.courier_id,
    });
    Ok(Page::cut(items.collect(), limit, |last: &DeliveryView| {
        last.order_id
    }))
}
