use chrono::{DateTime, Utc};
use db::Tx;
use kernel::{Money, OrderId, UserId};
use serde::Serialize;
use service_kit::{Page, PageQuery};
use utoipa::ToSchema;

use super::BillingError;
use crate::{
    state::State,
    store::ledger::{self, EntryId},
};

/// One movement of an account's money.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntryView {
    pub id: EntryId,
    pub at: DateTime<Utc>,
    /// `top_up`, `withdrawal`, `hold`, `capture`, `release`, `refund` or `payout`.
    pub kind: String,
    /// The change of the available money, in minor units; for a capture, of the held money.
    pub amount: Money,
    pub order_id: Option<OrderId>,
}

pub struct ListEntries {
    pub user_id: UserId,
    pub page: PageQuery,
}

/// The movements of a user's account, the newest first.
pub async fn list_entries(
    tx: &mut Tx<'_>,
    _: &State,
    query: &ListEntries,
) -> Result<Page<EntryView>, BillingError> {
    let limit = query.page.limit()?;
    let entries = ledger::of_user(tx, query.user_id, query.page.after()?, limit + 1).await?;
    let items = entries.into_iter().map(|entry| EntryView {
        id: entry.id,
        at: entry.at,
        kind: entry.kind,
        amount: entry.amount,
        order_id: entry.order_id,
    });
    Ok(Page::cut(items.collect(), limit, |last| last.id))
}
