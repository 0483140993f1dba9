use actix_web::{
    get, post,
    web::{Path, Query},
};
use kernel::OrderId;
use serde::Deserialize;
use service_kit::{Answer, Call, Page, PageQuery, Responded, Role};
use utoipa::{IntoParams, ToSchema};

use crate::{
    State,
    usecases::{
        list_deliveries::{DeliveryView, ListDeliveries, list_deliveries},
        report_outcome::{Outcome, OutcomeView, ReportOutcome, report_outcome},
    },
};

const THOSE_WHO_DELIVER: &[Role] = &[Role::Courier, Role::Manager];

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
    /// Those of one status; without it those that are out for delivery.
    #[serde(default)]
    #[param(inline)]
    status: RunStatus,
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u16>,
    cursor: Option<String>,
}

/// The parcels of a courier's run.
#[utoipa::path(tag = "deliveries", params(DeliveriesQuery), security(("token" = [])), responses((status = 200, body = Page<DeliveryView>)))]
#[get("/api/deliveries")]
pub async fn get_deliveries(call: Call<State>, query: Query<DeliveriesQuery>) -> Responded {
    call.require(THOSE_WHO_DELIVER)?;
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
        page: PageQuery { limit, cursor },
    })
    .run("delivery.list_deliveries", list_deliveries, Answer::ok)
    .await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Report {
    outcome: Outcome,
}

/// Report what became of a parcel: once, while it is out for delivery.
#[utoipa::path(tag = "deliveries", params(("order_id" = OrderId, Path)), request_body = Report, security(("token" = [])),
    responses((status = 201, body = OutcomeView)))]
#[post("/api/deliveries/{order_id}/outcome")]
pub async fn post_outcome(call: Call<State, Report>, order_id: Path<OrderId>) -> Responded {
    call.require(THOSE_WHO_DELIVER)?;
    call.map(|body| ReportOutcome {
        order_id: order_id.into_inner(),
        outcome: body.outcome,
    })
    .once("delivery.report_outcome", report_outcome, |outcome| {
        Answer::created("/api/deliveries", outcome)
    })
    .await
}
