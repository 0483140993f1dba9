//! The routes of orders.

mod events;
mod orders;
mod schemas;
mod stops;
mod verdicts;

use actix_web::web::ServiceConfig;
use service_kit::ProblemDoc;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    paths(
        orders::post_order,
        orders::get_orders,
        orders::get_order,
        events::get_order_events,
        stops::post_cancellation,
        stops::post_stop,
        verdicts::post_verdict
    ),
    components(schemas(events::NewsView))
)]
pub struct Api;

pub const PROBLEMS: &[ProblemDoc] = &[
    ProblemDoc {
        code: "unknown_order",
        status: 404,
        meaning: "You have no such order.",
    },
    ProblemDoc {
        code: "invalid_lines",
        status: 422,
        meaning: "An order has 1 to 100 lines.",
    },
    ProblemDoc {
        code: "invalid_quantity",
        status: 422,
        meaning: "A line has 1 to 10000 pieces.",
    },
    ProblemDoc {
        code: "unknown_sku",
        status: 422,
        meaning: "There are no goods with this SKU.",
    },
    ProblemDoc {
        code: "too_expensive",
        status: 422,
        meaning: "The total is more than an order may cost.",
    },
    ProblemDoc {
        code: "invalid_expected_total",
        status: 422,
        meaning: "expected_total is 1 to 100000000000 minor units.",
    },
    ProblemDoc {
        code: "price_changed",
        status: 409,
        meaning: "The order has another total than expected_total by now; the problem's total says \
                  which. Ask the customer, and send it again with the same key.",
    },
    ProblemDoc {
        code: "already_shipped",
        status: 409,
        meaning: "The parcel has left; the order cannot be stopped any more.",
    },
    ProblemDoc {
        code: "already_closed",
        status: 409,
        meaning: "The order is over, or being undone; there is nothing to stop.",
    },
    ProblemDoc {
        code: "no_verdict",
        status: 409,
        meaning: "There is no verdict on this order; it goes on, or it is delivered.",
    },
    ProblemDoc {
        code: "invalid_last_event_id",
        status: 400,
        meaning: "Last-Event-ID is a number.",
    },
    ProblemDoc {
        code: "too_many_streams",
        status: 429,
        meaning: "You are watching as many orders as one may. End a stream, or look at the order \
                  itself.",
    },
    ProblemDoc {
        code: "streams_busy",
        status: 503,
        meaning: "Too many orders are being watched. Look at the order itself, or try again later.",
    },
];

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(orders::post_order)
        .service(orders::get_orders)
        .service(orders::get_order)
        .service(events::get_order_events)
        .service(stops::post_cancellation)
        .service(stops::post_stop)
        .service(verdicts::post_verdict);
}
