use contracts::warehouse::GoodsListed;
use db::Tx;
use kernel::{Currency, Money, Sku};
use serde::Serialize;
use service_kit::Preconditions;
use utoipa::ToSchema;

use super::WarehouseError;
use crate::{
    state::State,
    store::goods::{self, Goods},
};

/// Goods as customers see them.
#[derive(Debug, Serialize, ToSchema)]
pub struct GoodsView {
    pub sku: Sku,
    pub name: String,
    /// Minor units.
    pub price: Money,
    pub currency: Currency,
    /// Pieces that can be ordered.
    pub available: i64,
    /// The version of name and price, for the ETag.
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

/// Lists goods, or gives them another name or price. Publishes the listing only if something
/// changed.
pub async fn put_goods(
    tx: &mut Tx<'_>,
    state: &State,
    command: &PutGoods,
) -> Result<PutView, WarehouseError> {
    let mut before = goods::lock(tx, &command.sku).await?;
    if before.is_none() {
        command.preconditions.check(None)?;
        if let Some(listed) = goods::add(tx, &command.sku, &command.name, command.price).await? {
            return publish(tx, state, listed, true);
        }
        // Another manager has listed them meanwhile.
        before = goods::lock(tx, &command.sku).await?;
    }
    let before = before.ok_or(WarehouseError::UnknownSku)?;
    if (&before.name, before.price) == (&command.name, command.price) {
        command.preconditions.check_unchanged(before.version)?;
        return Ok(PutView {
            goods: GoodsView::of(before, state.currency),
            is_new: false,
        });
    }
    command.preconditions.check(Some(before.version))?;
    let changed = goods::change(tx, &command.sku, &command.name, command.price).await?;
    publish(tx, state, changed, false)
}

fn publish(
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
