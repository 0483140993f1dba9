//! The routes of delivery.

mod deliveries;
mod zones;

use actix_web::web::ServiceConfig;
use service_kit::ProblemDoc;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(paths(
    zones::get_zones,
    zones::put_zone_route,
    zones::get_slots,
    zones::post_slot,
    deliveries::get_deliveries,
    deliveries::post_outcome,
))]
pub struct Api;

pub const PROBLEMS: &[ProblemDoc] = &[
    ProblemDoc {
        code: "unknown_zone",
        status: 404,
        meaning: "This zone is not served.",
    },
    ProblemDoc {
        code: "invalid_slot_times",
        status: 422,
        meaning: "A slot starts before it ends, and ends in the future.",
    },
    ProblemDoc {
        code: "invalid_capacity",
        status: 422,
        meaning: "A slot has 1 to 100000 places.",
    },
    ProblemDoc {
        code: "unknown_delivery",
        status: 404,
        meaning: "There is no delivery for this order.",
    },
    ProblemDoc {
        code: "not_out_for_delivery",
        status: 409,
        meaning: "The parcel's outcome is known, or it has not left.",
    },
];

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(zones::get_zones)
        .service(zones::put_zone_route)
        .service(zones::get_slots)
        .service(zones::post_slot)
        .service(deliveries::get_deliveries)
        .service(deliveries::post_outcome);
}
