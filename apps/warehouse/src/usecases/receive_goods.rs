use db::Tx;
use kernel::Sku;
use serde::Serialize;
use utoipa::ToSchema;

use super::WarehouseError;
use crate::{
    state::State,
    store::{
        goods,
        movements::{self, MovementId},
    },
};

pub struct ReceiveGoods {
    pub sku: Sku,
    pub quantity: i64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ReceiptView {
    pub id: MovementId,
    pub sku: Sku,
    pub quantity: i64,
    pub available: i64,
}

/// Adds goods that came in to their shelf.
pub async fn receive_goods(
    tx: &mut Tx<'_>,
    _: &State,
    receipt: &ReceiveGoods,
) -> Result<ReceiptView, WarehouseError> {
    let shelf = goods::lock_shelf(tx, &receipt.sku)
        .await?
        .ok_or(WarehouseError::UnknownSku)?
        .receive(receipt.quantity)?;
    goods::save_shelf(tx, &receipt.sku, shelf);
    let id = movements::record(tx, &receipt.sku, "receipt", receipt.quantity, None);
    Ok(ReceiptView {
        id,
        sku: receipt.sku.clone(),
        quantity: receipt.quantity,
        available: shelf.available(),
    })
}
