use contracts::warehouse::GoodsListed;
use db::Tx;

use super::OrderError;
use crate::store::goods;

/// Keeps the copy of names and prices. Events of one SKU come in their order, so the last one is right.
pub async fn copy_goods(tx: &mut Tx<'_>, listed: GoodsListed) -> Result<(), OrderError> {
    Ok(goods::copy(tx, &listed.sku, &listed.name, listed.price).await?)
}
