use actix_web::{post, web::Path};
use kernel::OrderId;
use service_kit::{Answer, Call, Responded, Role};

use crate::{
    state::State,
    usecases::{
        request_stop::{cancel_order, stop_order},
        view_order::OwnedOrder,
    },
};

/// Cancel one of your orders. It is a request: the order's timeline shows whether it came in time.
#[utoipa::path(
    tag = "orders",
    params(("id" = OrderId, Path)),
    security(("token" = [])),
    responses((status = 202, description = "The stop is under way"))
)]
#[post("/api/orders/{id}/cancellation")]
pub async fn post_cancellation(call: Call<State>, id: Path<OrderId>) -> Responded {
    let owner = call.caller()?.user_id;
    call.map(|_| OwnedOrder {
        order_id: id.into_inner(),
        owner,
    })
    .run_idempotent("orders.cancel_order", cancel_order, |()| Answer::accepted())
    .await
}

/// Stop the order of any customer, for managers.
#[utoipa::path(
    tag = "orders",
    params(("id" = OrderId, Path)),
    security(("token" = [])),
    responses((status = 202, description = "The stop is under way"))
)]
#[post("/api/orders/{id}/stop")]
pub async fn post_stop(call: Call<State>, id: Path<OrderId>) -> Responded {
    call.require(&[Role::Manager])?;
    call.map(|_| id.into_inner())
        .run_idempotent("orders.stop_order", stop_order, |()| Answer::accepted())
        .await
}
