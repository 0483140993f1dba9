use actix_web::{
    get, post,
    web::{Path, Query},
};
use kernel::{Money, OrderId, Sku, SlotId, Zone};
use serde::Deserialize;
use service_kit::{Answer, Call, Page, PageQuery, Responded, Role};
use utoipa::{IntoParams, ToSchema};

use crate::{
    domain::{lines::WantedLine, status::Status},
    state::State,
    store::orders::Scope,
    usecases::{
        list_orders::{ListOrders, OrderSummary, list_orders},
        place_order::{PlaceOrder, place_order},
        view_order::{OrderView, OwnedOrder, view_order},
    },
};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewOrder {
    /// 1 to 100; the quantities of a SKU that is named twice are summed.
    #[schema(min_items = 1, max_items = 100)]
    lines: Vec<NewLine>,
    zone: Zone,
    slot_id: SlotId,
    /// The total that you have seen, in minor units: if the order costs something else by now,
    /// nothing is ordered.
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 100_000_000_000_i64)]
    expected_total: Option<Money>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewLine {
    sku: Sku,
    #[schema(minimum = 1, maximum = 10_000)]
    quantity: u32,
}

/// Place an order, at today's prices. With expected_total only if that is what it costs.
#[utoipa::path(
    tag = "orders",
    request_body = NewOrder,
    security(("token" = [])),
    responses((status = 201, body = OrderView))
)]
#[post("/api/orders")]
pub async fn post_order(call: Call<State, NewOrder>) -> Responded {
    let customer = call.caller()?.user_id;
    let key = call.key()?;
    call.map(|body| PlaceOrder {
        customer,
        key,
        lines: body
            .lines
            .into_iter()
            .map(|line| WantedLine {
                sku: line.sku,
                quantity: line.quantity,
            })
            .collect(),
        zone: body.zone,
        slot_id: body.slot_id,
        expected_total: body.expected_total,
    })
    .run_idempotent("orders.place_order", place_order, |order| {
        Answer::created(format!("/api/orders/{}", order.id), order)
    })
    .await
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OrdersQuery {
    /// Only those of this status.
    #[param(inline)]
    status: Option<Status>,
    /// true: instead of your orders those of all customers that an operator must look at; for
    /// managers.
    needs_attention: Option<bool>,
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u16>,
    cursor: Option<String>,
}

/// Your orders, the newest first; or, for managers, all that need attention.
#[utoipa::path(
    tag = "orders",
    params(OrdersQuery),
    security(("token" = [])),
    responses((status = 200, body = Page<OrderSummary>))
)]
#[get("/api/orders")]
pub async fn get_orders(call: Call<State>, query: Query<OrdersQuery>) -> Responded {
    let OrdersQuery {
        status,
        needs_attention,
        limit,
        cursor,
    } = query.into_inner();
    let scope = if needs_attention == Some(true) {
        call.require(&[Role::Manager])?;
        Scope::NeedingAttention
    } else {
        Scope::Of(call.caller()?.user_id)
    };
    call.map(|_| ListOrders {
        scope,
        status,
        page: PageQuery { limit, cursor },
    })
    .run_in_transaction("orders.list_orders", list_orders, Answer::ok)
    .await
}

/// One of your orders, with its timeline.
#[utoipa::path(
    tag = "orders",
    params(("id" = OrderId, Path)),
    security(("token" = [])),
    responses((status = 200, body = OrderView))
)]
#[get("/api/orders/{id}")]
pub async fn get_order(call: Call<State>, id: Path<OrderId>) -> Responded {
    let owner = call.caller()?.user_id;
    call.map(|_| OwnedOrder {
        order_id: id.into_inner(),
        owner,
    })
    .run_in_transaction("orders.view_order", view_order, Answer::ok)
    .await
}
