use db::Tx;
use kernel::Zone;
use service_kit::{Page, PageQuery};

use super::{DeliveryError, add_slot::SlotView};
use crate::{
    state::State,
    store::{slots, zones},
};

pub struct ListSlots {
    pub zone: Zone,
    pub page: PageQuery,
}

/// The slots of a zone that have not ended, the earliest first.
pub async fn list_slots(
    tx: &mut Tx<'_>,
    _: &State,
    query: &ListSlots,
) -> Result<Page<SlotView>, DeliveryError> {
    zones::handover(tx, &query.zone)
        .await?
        .ok_or(DeliveryError::UnknownZone)?;
    let limit = query.page.limit()?;
    let found = slots::of_zone(tx, &query.zone, query.page.after()?, limit + 1).await?;
    let items = found
        .into_iter()
        .map(|(id, slot)| SlotView::of(id, slot))
        .collect();
    Ok(Page::cut(items, limit, |last: &SlotView| {
        (last.starts_at, last.id)
    }))
}
