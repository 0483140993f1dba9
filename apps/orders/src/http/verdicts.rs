use actix_web::{post, web::Path};
use kernel::OrderId;
use service_kit::{Answer, Call, Responded, Role};

use crate::{state::State, usecases::repeat_verdict::repeat_verdict};

/// Publish an order's verdict again to the services that undo it, for managers: for when it was
/// lost on its way. It is undone once, however often it is published.
#[utoipa::path(
    tag = "orders",
    params(("id" = OrderId, Path)),
    security(("token" = [])),
    responses((status = 202, description = "The verdict is under way"))
)]
#[post("/api/orders/{id}/verdict")]
pub async fn post_verdict(call: Call<State>, id: Path<OrderId>) -> Responded {
    call.require(&[Role::Manager])?;
    call.map(|_| id.into_inner())
        .run_idempotent("orders.repeat_verdict", repeat_verdict, |()| {
            Answer::accepted()
        })
        .await
}
