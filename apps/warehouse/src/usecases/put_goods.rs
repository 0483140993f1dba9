use contracts::warehouse::GoodsListed;
use db::Tx;
use kernel::{Currency, Money, Sku};
use serde::Serialize;
use service_kit::Preconditions;
use utoipa::ToSchema;

use super::WarehouseError;
use crate::{
    State,
    store::goods::{self, Goods},
};

/// Goods as everyone sees them.
#[derive(Debug, Serialize, ToSchema)]
pub struct GoodsView {
    pub sku: Sku,
    pub name: String,
    /// Minor units.
    pub price: Money,
    pub currency: Currency,
    /// Pieces that can be ordered.
    pub available: i64,
    /// In the ETag: of name and price.
    #[serde(skip)]
    pub version: i64,
}

impl GoodsView {
    pub fn of(goods: Goods, currency: Currency) -> Self {
        let available = goods.shelf().available();
        let version = goods.version;
        Self {
            sku: goods.sku,
            name: goods.name,
            price: goods.price,
            currency,
            available,
            version,
        }
    }
}

pub struct PutGoods {
    pub sku: Sku,
    pub name: String,
    pub price: Money,
    pub preconditions: Preconditions,
}

pub struct PutView {
    pub goods: GoodsView,
    pub is_new: bool,
}

/// Lists goods, or gives them another name or price. Tells of it only if something changed.
pub async fn put_goods(
    tx: &mut Tx<'_>,
    state: &State,
    wish: &PutGoods,
) -> Result<PutView, WarehouseError> {
    let mut before = goods::lock(tx, &wish.sku).await?;
    if before.is_none() {
        wish.preconditions.check(None)?;
        if let Some(listed) = goods::add(tx, &wish.sku, &wish.name, wish.price).await? {
            return tell(tx, state, listed, true);
        }
        // Another manager has listed them meanwhile.
        before = goods::lock(tx, &wish.sku).await?;
    }
    let before = before.ok_or(WarehouseError::UnknownSku)?;
    if (&before.name, before.price) == (&wish.name, wish.price) {
        wish.preconditions.check_unchanged(before.version)?;
        return Ok(PutView {
            goods: GoodsView::of(before, state.currency),
            is_new: false,
        });
    }
    wish.preconditions.check(Some(before.version))?;
    let changed = goods::change(tx, &wish.sku, &wish.name, wish.price).await?;
    tell(tx, state, changed, false)
}

fn tell(
    tx: &mut Tx<'_>,
    state: &State,
    goods: Goods,
    is_new: bool,
) -> Result<PutView, WarehouseError> {
    outbox::publish(
        tx,
        &GoodsListed {
            sku: goods.sku.clone(),
            name: goods.name.clone(),
            price: goods.price,
            currency: state.currency,
            version: goods.version,
        },
    )?;
    Ok(PutView {
        goods: GoodsView::of(goods, state.currency),
        is_new,
    })
}
