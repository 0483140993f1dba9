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
    deliveries::put_courier,
    deliveries::delete_courier,
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
    ProblemDoc {
        code: "not_your_parcel",
        status: 403,
        meaning: "A courier sees to the parcels that they have taken or were given. Take it with \
                  PUT /api/deliveries/{order_id}/courier, if it is free.",
    },
    ProblemDoc {
        code: "own_order",
        status: 403,
        meaning: "The person who ordered a parcel does not deliver it, and does not report its \
                  outcome.",
    },
    ProblemDoc {
        code: "parcel_taken",
        status: 409,
        meaning: "Another courier has taken the parcel. A manager can give it to you.",
    },
];

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(zones::get_zones)
        .service(zones::put_zone_route)
        .service(zones::get_slots)
        .service(zones::post_slot)
        .service(deliveries::get_deliveries)
        .service(deliveries::put_courier)
        .service(deliveries::delete_courier)
        .service(deliveries::post_outcome);
}
