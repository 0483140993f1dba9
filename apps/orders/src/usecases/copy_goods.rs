use contracts::warehouse::GoodsListed;
use db::Tx;
use inbox::Delivery;

use super::OrderError;
use crate::store::goods::{self, Listing};

/// Updates the copy of the names and prices of goods. An event that a newer one has overtaken, as
/// one that an operator replays later, changes nothing.
pub async fn copy_goods(tx: &mut Tx<'_>, listed: Delivery<GoodsListed>) -> Result<(), OrderError> {
    let GoodsListed {
        sku,
        name,
        price,
        version,
        ..
    } = listed.event;
    let listing = Listing {
        sku: &sku,
        name: &name,
        price,
        version,
        listed_at: listed.time,
    };
    if !goods::copy(tx, &listing).await? {
        tracing::info!(
            %sku,
            version,
            "a newer listing of these goods is known; this one changes nothing"
        );
    }
    Ok(())
}
