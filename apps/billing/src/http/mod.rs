//! The routes of billing.

mod account;

use actix_web::web::ServiceConfig;
use service_kit::ProblemDoc;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(paths(
    account::get_account,
    account::get_entries,
    account::post_top_up,
    account::post_withdrawal,
    account::get_any_account,
))]
pub struct Api;

pub const PROBLEMS: &[ProblemDoc] = &[
    ProblemDoc {
        code: "account_not_open_yet",
        status: 503,
        meaning: "The account is being opened. Try again after Retry-After.",
    },
    ProblemDoc {
        code: "unknown_account",
        status: 404,
        meaning: "This user has no account.",
    },
    ProblemDoc {
        code: "account_closed",
        status: 409,
        meaning: "The account is closed, because its owner was deleted.",
    },
    ProblemDoc {
        code: "invalid_amount",
        status: 422,
        meaning: "An amount is 1 to 100000000000 minor units.",
    },
    ProblemDoc {
        code: "insufficient_funds",
        status: 409,
        meaning: "Too little is available. Top up, or take less.",
    },
    ProblemDoc {
        code: "too_much_money",
        status: 422,
        meaning: "The account cannot hold that much.",
    },
];

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(account::get_account)
        .service(account::get_entries)
        .service(account::post_top_up)
        .service(account::post_withdrawal)
        .service(account::get_any_account);
}
