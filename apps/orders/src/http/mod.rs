//! The routes of orders.

mod orders;

use actix_web::web::ServiceConfig;
use service_kit::ProblemDoc;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(paths(orders::post_order, orders::get_orders, orders::get_order))]
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
];

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(orders::post_order)
        .service(orders::get_orders)
        .service(orders::get_order);
}
