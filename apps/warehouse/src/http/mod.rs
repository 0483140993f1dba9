//! The routes of the warehouse.

mod goods;

use actix_web::web::ServiceConfig;
use service_kit::ProblemDoc;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(paths(
    goods::list_goods_route,
    goods::get_goods,
    goods::put_goods_route,
    goods::post_receipt,
    goods::get_movements,
))]
pub struct Api;

pub const PROBLEMS: &[ProblemDoc] = &[
    ProblemDoc {
        code: "unknown_sku",
        status: 404,
        meaning: "There are no goods with this SKU.",
    },
    ProblemDoc {
        code: "invalid_name",
        status: 422,
        meaning: "A name has 1 to 200 characters in one line, and shows something.",
    },
    ProblemDoc {
        code: "invalid_price",
        status: 422,
        meaning: "A price is 1 to 100000000000 minor units.",
    },
    ProblemDoc {
        code: "invalid_quantity",
        status: 422,
        meaning: "A receipt has 1 to 1000000 pieces.",
    },
    ProblemDoc {
        code: "shelf_full",
        status: 422,
        meaning: "The shelf cannot hold that many.",
    },
];

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(goods::list_goods_route)
        .service(goods::get_goods)
        .service(goods::put_goods_route)
        .service(goods::post_receipt)
        .service(goods::get_movements);
}
