//! The routes of users.

mod jwks;
mod schemas;
mod sessions;
mod users;

use actix_web::web::ServiceConfig;
use service_kit::ProblemDoc;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(paths(
    users::post_user,
    users::get_me,
    users::patch_me,
    users::delete_me,
    users::get_user,
    users::put_role,
    users::put_status,
    sessions::post_session,
    sessions::post_refresh,
    sessions::get_sessions,
    sessions::delete_current_session,
    sessions::delete_other_sessions,
    jwks::get_jwks
))]
pub struct Api;

pub const PROBLEMS: &[ProblemDoc] = &[
    ProblemDoc {
        code: "invalid_email",
        status: 422,
        meaning: "That is no e-mail address.",
    },
    ProblemDoc {
        code: "invalid_name",
        status: 422,
        meaning: "A name has 1 to 100 characters in one line, and shows something.",
    },
    ProblemDoc {
        code: "invalid_password",
        status: 422,
        meaning: "A password has 8 to 128 characters, none of them a control character.",
    },
    ProblemDoc {
        code: "password_too_common",
        status: 422,
        meaning: "The password is one of the commonest, or the address or the name of its owner. \
                  Choose another one.",
    },
    ProblemDoc {
        code: "email_taken",
        status: 409,
        meaning: "The address is registered already. Log in.",
    },
    ProblemDoc {
        code: "wrong_credentials",
        status: 401,
        meaning: "The address or the password is wrong.",
    },
    ProblemDoc {
        code: "account_suspended",
        status: 403,
        meaning: "A manager has suspended the account. Only a caller who knows its password \
                  learns this.",
    },
    ProblemDoc {
        code: "refresh_token_invalid",
        status: 401,
        meaning: "The refresh token is not one of ours, or its session has ended. Log in again \
                  with POST /api/sessions.",
    },
    ProblemDoc {
        code: "refresh_token_reused",
        status: 401,
        meaning: "The refresh token was used before, so that another person may have it too. The \
                  session is ended; log in again with POST /api/sessions.",
    },
    ProblemDoc {
        code: "wrong_password",
        status: 403,
        meaning: "current_password is wrong.",
    },
    ProblemDoc {
        code: "current_password_missing",
        status: 422,
        meaning: "A new password needs the current one beside it.",
    },
    ProblemDoc {
        code: "too_many_attempts",
        status: 429,
        meaning: concat!(
            "Too many attempts to log in to this account, or from this network, ",
            "failed or are under way. Go on after Retry-After."
        ),
    },
    ProblemDoc {
        code: "passwords_busy",
        status: 503,
        meaning: "Too many passwords are being checked. Nothing was stored; try again after \
                  Retry-After with the same key.",
    },
    ProblemDoc {
        code: "answer_expired",
        status: 503,
        meaning: "The key's answer expired while it was looked for. Try again.",
    },
    ProblemDoc {
        code: "last_manager",
        status: 409,
        meaning: "The store must have a manager. Make another one first.",
    },
    ProblemDoc {
        code: "unknown_user",
        status: 404,
        meaning: "There is no such user.",
    },
];

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(users::post_user)
        .service(users::get_me)
        .service(users::patch_me)
        .service(users::delete_me)
        .service(users::get_user)
        .service(users::put_role)
        .service(users::put_status)
        .service(sessions::post_session)
        .service(sessions::post_refresh)
        .service(sessions::get_sessions)
        .service(sessions::delete_current_session)
        .service(sessions::delete_other_sessions)
        .service(jwks::get_jwks);
}
