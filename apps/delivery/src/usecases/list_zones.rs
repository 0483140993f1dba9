use db::Tx;
use service_kit::{Page, PageQuery};

use super::{DeliveryError, put_zone::ZoneView};
use crate::{state::State, store::zones};

/// The zones that are served, by name.
pub async fn list_zones(
    tx: &mut Tx<'_>,
    _: &State,
    page: &PageQuery,
) -> Result<Page<ZoneView>, DeliveryError> {
    let limit = page.limit()?;
    let found = zones::after(tx, page.after()?, limit + 1).await?;
    let items = found
        .into_iter()
        .map(|(zone, handover)| ZoneView { zone, handover })
        .collect();
    Ok(Page::cut(items, limit, |last: &ZoneView| last.zone.clone()))
}
