use actix_web::{post, web::Path};
use kernel::OrderId;
use service_kit::{Answer, Call, Responded, Role};

use crate::{State, usecases::repeat_verdict::repeat_verdict};

/// Tell an order's verdict anew to those who undo it, for managers: for when it was lost on its
/// way. It is undone once, however often it is told.
#[utoipa::path(tag = "orders", params(("id" = OrderId, Path)), security(("token" = [])), responses((status = 202, description = "The verdict is under way")))]
#[post("/api/orders/{id}/verdict")]
pub async fn post_verdict(call: Call<State>, id: Path<OrderId>) -> Responded {
    call.require(&[Role::Manager])?;
    call.map(|_| id.into_inner())
        .run_idempotent("orders.repeat_verdict", repeat_verdict, |()| {
            Answer::accepted()
        })
        .await
}
