use actix_web::{HttpRequest, post};
use serde::Deserialize;
use service_kit::{Answer, Call, Kind, Responded, network};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::{
    State,
    domain::{email::TypedEmail, password::Password},
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
pub async fn post_session(request: HttpRequest, call: Call<State, Credentials>) -> Responded {
    let left = CancellationToken::new();
    // Dropped with this handler when the client goes away.
    let _here = left.clone().drop_guard();
    let trail = call.trail(Kind::LogIn);
    call.map(|body| LogIn {
        email: TypedEmail::parse(&body.email),
        password: Password::typed(&body.password),
        network: network(&request),
        trail,
        left,
    })
    .apart(log_in, Answer::ok)
    .await
}
