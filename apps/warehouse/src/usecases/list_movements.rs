use chrono::{DateTime, Utc};
use db::Tx;
use kernel::{OrderId, Sku};
use serde::Serialize;
use service_kit::{Page, PageQuery};
use utoipa::ToSchema;

use super::WarehouseError;
use crate::{
    state::State,
    store::{
        goods,
        movements::{self, MovementId},
    },
};

pub struct ListMovements {
    pub sku: Sku,
    pub page: PageQuery,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MovementView {
    pub id: MovementId,
    pub at: DateTime<Utc>,
    /// `receipt`, `shipment` or `return`.
    pub kind: String,
    /// In pieces; negative for those that went out.
    pub quantity: i64,
    pub order_id: Option<OrderId>,
}

/// The pieces of one SKU that came and went, the newest first.
pub async fn list_movements(
    tx: &mut Tx<'_>,
    _: &State,
    query: &ListMovements,
) -> Result<Page<MovementView>, WarehouseError> {
    goods::find(tx, &query.sku)
        .await?
        .ok_or(WarehouseError::UnknownSku)?;
    let limit = query.page.limit()?;
    let movements = movements::of_sku(tx, &query.sku, query.page.after()?, limit + 1).await?;
    let items = movements.into_iter().map(|movement| MovementView {
        id: movement.id,
        at: movement.at,
        kind: movement.kind,
        quantity: movement.quantity,
        order_id: movement.order_id,
    });
    Ok(Page::cut(items.collect(), limit, |last| last.id))
}
