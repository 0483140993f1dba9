use actix_web::post;
use connect::Secret;
use serde::Deserialize;
use service_kit::{Answer, Call, Responded};
use utoipa::ToSchema;

use crate::{
    State,
    domain::person::Email,
    usecases::log_in::{LogIn, SessionView, log_in},
};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Credentials {
    email: String,
    password: String,
}

/// Log in. Changes nothing, so it takes no Idempotency-Key.
#[utoipa::path(tag = "sessions", request_body = Credentials, responses((status = 200, body = SessionView)))]
#[post("/api/sessions")]
pub async fn post_session(call: Call<State, Credentials>) -> Responded {
    call.map(|body| LogIn {
        email: Email::parse(&body.email).ok(),
        password: Secret::new(body.password),
    })
    .apart(log_in, Answer::ok)
    .await
}
