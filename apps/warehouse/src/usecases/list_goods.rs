use db::Tx;
use kernel::Sku;
use service_kit::{Page, PageQuery};

use super::{WarehouseError, put_goods::GoodsView};
use crate::{state::State, store::goods};

/// All goods that are listed, by SKU.
pub async fn list_goods(
    tx: &mut Tx<'_>,
    state: &State,
    page: &PageQuery,
) -> Result<Page<GoodsView>, WarehouseError> {
    let limit = page.limit()?;
    let goods = goods::after(tx, page.after()?, limit + 1).await?;
    let items = goods
        .into_iter()
        .map(|goods| GoodsView::of(goods, state.currency))
        .collect();
    Ok(Page::cut(items, limit, |last: &GoodsView| last.sku.clone()))
}

/// The goods of one SKU.
pub async fn view_goods(
    tx: &mut Tx<'_>,
    state: &State,
    sku: &Sku,
) -> Result<GoodsView, WarehouseError> {
    let goods = goods::find(tx, sku)
        .await?
        .ok_or(WarehouseError::UnknownSku)?;
    Ok(GoodsView::of(goods, state.currency))
}
