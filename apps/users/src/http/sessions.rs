use actix_web::{HttpRequest, delete, get, http::header::USER_AGENT, post, web::Query};
use serde::Deserialize;
use service_kit::{Answer, Call, Kind, Page, PageQuery, Responded, network};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::{
    State,
    domain::{email::TypedEmail, password::Password, refresh_token::RefreshToken},
    usecases::{
        begin_session::{Client, SessionView},
        list_sessions::{ListSessions, OpenSessionView, list_sessions},
        log_in::{LogIn, log_in},
        log_out::{log_out, log_out_elsewhere},
        refresh_session::{Refresh, refresh_session},
    },
};

fn client_of(request: &HttpRequest) -> Client {
    let user_agent = request.headers().get(USER_AGENT);
    Client::new(
        network(request),
        user_agent.and_then(|header| header.to_str().ok()),
    )
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Credentials {
    email: String,
    password: String,
}

/// Log in: a new session, with an access token and the refresh token that gives the next one. An
/// account has 20 sessions at most; beyond it, the one ends that has not been used for longest. It
/// takes no Idempotency-Key.
#[utoipa::path(
    tag = "sessions",
    request_body = Credentials,
    responses((status = 200, body = SessionView))
)]
#[post("/api/sessions")]
pub async fn post_session(request: HttpRequest, call: Call<State, Credentials>) -> Responded {
    let client_gone = CancellationToken::new();
    // Dropped with this handler when the client goes away.
    let _cancel = client_gone.clone().drop_guard();
    let trail = call.trail(Kind::LogIn);
    call.map(|body| LogIn {
        email: TypedEmail::parse(&body.email),
        password: Password::typed(&body.password),
        client: client_of(&request),
        trail,
        client_gone,
    })
    .run_outside_transaction(log_in, Answer::ok)
    .await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Refreshing {
    refresh_token: String,
}

/// Another access token, and another refresh token instead of this one. A client that lost the
/// answer may send the same one again for up to a minute, as long as its successor was not used.
/// Any other second use ends the session.
#[utoipa::path(
    tag = "sessions",
    request_body = Refreshing,
    responses((status = 200, body = SessionView))
)]
#[post("/api/sessions/refresh")]
pub async fn post_refresh(request: HttpRequest, call: Call<State, Refreshing>) -> Responded {
    call.map(|body| Refresh {
        token: RefreshToken::parse(&body.refresh_token),
        client: client_of(&request),
    })
    .run_outside_transaction(refresh_session, Answer::ok)
    .await
}

/// Where you are logged in, the newest first.
#[utoipa::path(
    tag = "sessions",
    params(PageQuery),
    security(("token" = [])),
    responses((status = 200, body = Page<OpenSessionView>))
)]
#[get("/api/sessions")]
pub async fn get_sessions(call: Call<State>, page: Query<PageQuery>) -> Responded {
    let list = ListSessions {
        caller: call.caller()?,
        limit: page.limit()?,
        after: page.after()?,
    };
    call.map(|_| list)
        .run_in_transaction("users.list_sessions", list_sessions, Answer::ok)
        .await
}

/// Log out. Your other sessions go on, by their refresh tokens.
#[utoipa::path(
    tag = "sessions",
    security(("token" = [])),
    responses((status = 204, description = "You are logged out"))
)]
#[delete("/api/sessions/current")]
pub async fn delete_current_session(call: Call<State>) -> Responded {
    let caller = call.caller()?;
    call.logged_as(Kind::Session);
    call.map(|_| caller)
        .run_in_transaction("users.log_out", log_out, |()| Answer::no_content())
        .await
}

/// Log out everywhere else. This session goes on, by its refresh token.
#[utoipa::path(
    tag = "sessions",
    security(("token" = [])),
    responses((status = 204, description = "You are logged in here only"))
)]
#[delete("/api/sessions")]
pub async fn delete_other_sessions(call: Call<State>) -> Responded {
    let caller = call.caller()?;
    call.logged_as(Kind::Session);
    call.map(|_| caller)
        .run_in_transaction("users.log_out_elsewhere", log_out_elsewhere, |()| {
            Answer::no_content()
        })
        .await
}
