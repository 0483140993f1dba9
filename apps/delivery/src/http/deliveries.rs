use actix_web::{
    delete, get, post, put,
    web::{Path, Query},
};
use kernel::{OrderId, UserId};
use serde::Deserialize;
use service_kit::{Answer, AuthError, Call, Page, PageQuery, Responded, Role};
use utoipa::{IntoParams, ToSchema};

use crate::{
    domain::staff::Staff,
    state::State,
    usecases::{
        assign_courier::{AssignCourier, CourierView, assign_courier},
        list_deliveries::{DeliveryView, ListDeliveries, list_deliveries},
        report_outcome::{Outcome, OutcomeView, ReportOutcome, report_outcome},
    },
};

/// The caller as a person who handles parcels; an error if their role does not.
fn staff<B>(call: &Call<State, B>) -> Result<Staff, AuthError> {
    let caller = call.require(&[Role::Courier, Role::Manager])?;
    Ok(if caller.role == Role::Manager {
        Staff::Manager(caller.user_id)
    } else {
        Staff::Courier(caller.user_id)
    })
}

#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum RunStatus {
    #[default]
    OutForDelivery,
    Delivered,
    Failed,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DeliveriesQuery {
    /// Only parcels of this status; without it those that are out for delivery.
    #[serde(default)]
    #[param(inline)]
    status: RunStatus,
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u16>,
    cursor: Option<String>,
}

/// The parcels of a courier's run: theirs, and of those that are out for delivery also those that
/// are free to take. Managers see all.
#[utoipa::path(
    tag = "deliveries",
    params(DeliveriesQuery),
    security(("token" = [])),
    responses((status = 200, body = Page<DeliveryView>))
)]
#[get("/api/deliveries")]
pub async fn get_deliveries(call: Call<State>, query: Query<DeliveriesQuery>) -> Responded {
    let seen_by = match staff(&call)? {
        Staff::Courier(courier) => Some(courier),
        Staff::Manager(_) => None,
    };
    let DeliveriesQuery {
        status,
        limit,
        cursor,
    } = query.into_inner();
    let status = match status {
        RunStatus::OutForDelivery => "out_for_delivery",
        RunStatus::Delivered => "delivered",
        RunStatus::Failed => "failed",
    };
    call.map(|_| ListDeliveries {
        status: status.to_owned(),
        seen_by,
        page: PageQuery { limit, cursor },
    })
    .run_in_transaction("delivery.list_deliveries", list_deliveries, Answer::ok)
    .await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewCourier {
    /// Yourself, or, for managers, the courier who is to deliver it.
    courier_id: UserId,
}

/// Take a parcel that is out for delivery and free; for managers: give it to a courier, also if
/// another one had it. With `If-None-Match: *` only if it is free. The person who ordered it does
/// not deliver it.
#[utoipa::path(
    tag = "deliveries",
    params(
        ("order_id" = OrderId, Path),
        (
            "If-None-Match" = Option<String>,
            Header,
            description = "* for a parcel that has no courier yet",
        ),
    ),
    request_body = NewCourier,
    security(("token" = [])),
    responses((status = 200, body = CourierView), (status = 201, body = CourierView))
)]
#[put("/api/deliveries/{order_id}/courier")]
pub async fn put_courier(call: Call<State, NewCourier>, order_id: Path<OrderId>) -> Responded {
    let (by, preconditions) = (staff(&call)?, call.preconditions());
    let (order_id, courier_id) = (order_id.into_inner(), call.body.courier_id);
    let view = CourierView {
        order_id,
        courier_id,
    };
    call.map(|_| AssignCourier {
        order_id,
        by,
        courier: Some(courier_id),
        preconditions,
    })
    .run_in_transaction("delivery.assign_courier", assign_courier, move |is_new| {
        if *is_new {
            Answer::created("/api/deliveries", &view)
        } else {
            Answer::ok(&view)
        }
    })
    .await
}

/// Give a parcel of yours back, so that it is free to take; for managers: any.
#[utoipa::path(
    tag = "deliveries",
    params(("order_id" = OrderId, Path)),
    security(("token" = [])),
    responses((status = 204, description = "It is free to take"))
)]
#[delete("/api/deliveries/{order_id}/courier")]
pub async fn delete_courier(call: Call<State>, order_id: Path<OrderId>) -> Responded {
    let (by, preconditions) = (staff(&call)?, call.preconditions());
    call.map(|_| AssignCourier {
        order_id: order_id.into_inner(),
        by,
        courier: None,
        preconditions,
    })
    .run_in_transaction("delivery.free_parcel", assign_courier, |_| {
        Answer::no_content()
    })
    .await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Report {
    outcome: Outcome,
}

/// Report the outcome of a parcel of yours: once, while it is out for delivery. Managers report for
/// any parcel that they did not order themselves.
#[utoipa::path(
    tag = "deliveries",
    params(("order_id" = OrderId, Path)),
    request_body = Report,
    security(("token" = [])),
    responses((status = 201, body = OutcomeView))
)]
#[post("/api/deliveries/{order_id}/outcome")]
pub async fn post_outcome(call: Call<State, Report>, order_id: Path<OrderId>) -> Responded {
    let by = staff(&call)?;
    call.map(|body| ReportOutcome {
        order_id: order_id.into_inner(),
        by,
        outcome: body.outcome,
    })
    .run_idempotent("delivery.report_outcome", report_outcome, |outcome| {
        Answer::created("/api/deliveries", outcome)
    })
    .await
}
