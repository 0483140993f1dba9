use contracts::warehouse::GoodsListed;
use db::Tx;
use kernel::{Currency, Money, Sku};
use serde::Serialize;
use service_kit::Version;
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
    /// The version that the manager has seen, if they say so.
    pub seen: Option<Version>,
}

pub struct PutView {
    pub goods: GoodsView,
    pub is_new: bool,
}

/// Lists goods, or gives them another name or price. Tells of it only if something changed.
pub async fn put_goods(tx: &mut Tx<'_>, state: &State, wish: &PutGoods) -> Result<PutView, WarehouseError> {
    let before = goods::lock(tx, &wish.sku).await?;
    if let Some(seen) = wish.seen {
        seen.check(before.as_ref().map_or(0, |before| before.version))?;
    }
    let is_new = before.is_none();
    let unchanged = before.filter(|before| (&before.name, before.price) == (&wish.name, wish.price));
    let goods = if let Some(unchanged) = unchanged {
        unchanged
    } else {
        let listed = goods::list(tx, &wish.sku, &wish.name, wish.price).await?;
        let (sku, name, price) = (wish.sku.clone(), wish.name.clone(), wish.price);
        outbox::publish(
            tx,
            &GoodsListed {
                sku,
                name,
                price,
                currency: state.currency,
                version: listed.version,
            },
        )?;
        listed
    };
    Ok(PutView {
        goods: GoodsView::of(goods, state.currency),
        is_new,
    })
}
