use chrono::{DateTime, Utc};
use db::Tx;
use kernel::{Currency, Money, OrderId, UserId};
use serde::Serialize;
use service_kit::{Page, PageQuery};
use utoipa::ToSchema;

use super::OrderError;
use crate::{
    domain::status::Status,
    state::State,
    store::orders::{self, Scope},
};

pub struct ListOrders {
    pub scope: Scope,
    pub status: Option<Status>,
    pub page: PageQuery,
}

/// An order in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrderSummary {
    pub id: OrderId,
    pub user_id: UserId,
    pub status: String,
    pub outcome_reason: Option<String>,
    /// Why an operator must look at the order, if so: `stop_overdue`, `delivery_overdue`,
    /// `return_overdue` or `settlement_overdue`.
    pub needs_attention: Option<String>,
    pub total: Money,
    pub currency: Currency,
    pub placed_at: DateTime<Utc>,
}

/// The orders of a customer, or those of all customers that need attention; the newest first.
pub async fn list_orders(
    tx: &mut Tx<'_>,
    state: &State,
    query: &ListOrders,
) -> Result<Page<OrderSummary>, OrderError> {
    let limit = query.page.limit()?;
    let found = orders::list(
        tx,
        query.scope,
        query.status,
        query.page.after()?,
        limit + 1,
    )
    .await?;
    let items = found.into_iter().map(|order| OrderSummary {
        id: order.id,
        user_id: order.user_id,
        needs_attention: order.attention,
        status: order.status,
        outcome_reason: order.outcome_reason,
        total: order.total,
        currency: state.currency,
        placed_at: order.placed_at,
    });
    Ok(Page::cut(items.collect(), limit, |last: &OrderSummary| {
        last.id
    }))
}
