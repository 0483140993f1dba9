use std::fmt;

use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError, http::StatusCode};
use db::DbError;
use kernel::{Class, Classify, TraceParent, cause_chain};
use serde::Serialize;
use telemetry::traces;

/// Any classified error as problem+json (RFC 9457). Handlers only write `?`.
pub struct ApiError(Box<dyn Classify>);

impl<E: Classify> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

/// The result of a handler.
pub type Responded = Result<HttpResponse, ApiError>;

impl ApiError {
    pub fn class(&self) -> Class {
        self.0.class()
    }

    pub fn code(&self) -> &'static str {
        self.0.code()
    }

    /// Whether the request waited for a connection to the database and got none.
    pub(crate) fn is_no_connection(&self) -> bool {
        let error: &(dyn std::error::Error + 'static) = &*self.0;
        matches!(error.downcast_ref(), Some(DbError::Pool(_)))
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The body of each answer that is no success (RFC 9457).
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// Address of the page that explains the code.
    #[schema(example = "/api/docs/problems#insufficient_funds")]
    pub r#type: String,
    pub title: String,
    pub status: u16,
    /// Stable: programs may rely on it.
    #[schema(example = "insufficient_funds")]
    pub code: String,
    /// What to do about it, for a person.
    pub detail: String,
    /// The id of the trace under which the service's log has more.
    pub trace_id: Option<String>,
    /// With `price_changed` only: the order's total at today's prices, in minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
}

/// One code on the page that explains them.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ProblemDoc {
    pub code: &'static str,
    pub status: u16,
    pub meaning: &'static str,
}

const fn doc(code: &'static str, status: u16, meaning: &'static str) -> ProblemDoc {
    ProblemDoc {
        code,
        status,
        meaning,
    }
}

/// The codes that every service may answer with.
pub const COMMON_PROBLEMS: &[ProblemDoc] = &[
    doc(
        "malformed_json",
        400,
        "The body is not JSON. Nothing was stored.",
    ),
    doc(
        "invalid_body",
        422,
        "A field is missing, unknown or of the wrong kind; the detail names it.",
    ),
    doc("content_type", 400, "Send bodies as application/json."),
    doc(
        "body_too_large",
        413,
        "The body exceeds the service's limit.",
    ),
    doc(
        "body_too_slow",
        400,
        "The body did not arrive in time; send the request again.",
    ),
    doc(
        "invalid_path",
        404,
        "The address holds something that cannot be an id or a name.",
    ),
    doc(
        "invalid_query",
        400,
        "A query parameter is unknown or of the wrong kind; the detail names it.",
    ),
    doc(
        "invalid_cursor",
        422,
        "Take the cursor from the last page's next, unchanged.",
    ),
    doc(
        "idempotency_key_missing",
        400,
        "A POST that changes something needs an Idempotency-Key: a new one for each intent, the \
         same one for each retry of it.",
    ),
    doc(
        "idempotency_key_invalid",
        400,
        "The key is 1 to 255 visible ASCII characters, bare or quoted.",
    ),
    doc(
        "idempotency_key_reused",
        422,
        "The key was used for another request. Use a new key for a new request.",
    ),
    doc(
        "idempotency_key_in_progress",
        409,
        "The first request with this key is still in work. Try again after Retry-After for its \
         answer.",
    ),
    doc(
        "answer_forgotten",
        410,
        "The request with this key took effect, and its answer was forgotten with the person it \
         was about. Use a new key for a new request.",
    ),
    doc(
        "token_missing",
        401,
        "Log in with POST /api/sessions and send the token as Authorization: Bearer.",
    ),
    doc(
        "token_invalid",
        401,
        "The token is forged, expired or not for this store. Refresh it with POST \
         /api/sessions/refresh, or log in again.",
    ),
    doc(
        "token_outdated",
        401,
        "The token does not count any more: its owner has another role or password now, was \
         suspended, has logged out somewhere, or has left. Refresh it with POST \
         /api/sessions/refresh, or log in again.",
    ),
    doc(
        "token_without_session",
        401,
        "The token is of an earlier release. Log in again with POST /api/sessions.",
    ),
    doc(
        "fresh_login_required",
        403,
        "This needs a log-in of the last minutes (FRESH_LOGIN_SECONDS). Log in again with POST \
         /api/sessions, and send the request with the new token, under the same Idempotency-Key.",
    ),
    doc(
        "too_many_requests",
        429,
        "The caller sends too many requests. Go on after Retry-After, with the same key.",
    ),
    doc(
        "precondition_failed",
        412,
        "If-Match names another version than there is: read again, and send the change with the \
         new ETag. Or If-None-Match names what there is: it is there already.",
    ),
    doc(
        "invalid_precondition",
        400,
        "If-Match and If-None-Match are * or a list of ETags, each in quotes.",
    ),
    doc(
        "method_not_allowed",
        405,
        "The address does not have this method; the header Allow names those that it has.",
    ),
    doc("role_denied", 403, "The caller's role may not do this."),
    doc(
        "token_keys_unavailable",
        503,
        "The service has not seen the token keys yet. Try again after Retry-After.",
    ),
    doc(
        "database_unavailable",
        503,
        "The service's database is away. Nothing was stored; try again after Retry-After with the \
         same key.",
    ),
    doc(
        "of_newer_release",
        503,
        "A newer release wrote what the request is about, and this one does not know it. Try \
         again when that release runs again.",
    ),
    doc(
        "outcome_unknown",
        503,
        "The service lost its database while the change was being stored. It may have been \
         stored; send it again after Retry-After with the same key.",
    ),
    doc(
        "internal_error",
        500,
        "A defect of the service. Nothing was stored; the log has the cause under the trace id.",
    ),
    doc(
        "no_such_route",
        404,
        "There is nothing at this address; see the service's API page.",
    ),
];

pub const fn status_of(class: Class) -> StatusCode {
    match class {
        Class::Malformed => StatusCode::BAD_REQUEST,
        Class::Unauthenticated => StatusCode::UNAUTHORIZED,
        Class::Denied => StatusCode::FORBIDDEN,
        Class::NotFound => StatusCode::NOT_FOUND,
        Class::Conflict => StatusCode::CONFLICT,
        Class::Gone => StatusCode::GONE,
        Class::Precondition => StatusCode::PRECONDITION_FAILED,
        Class::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Class::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        Class::Limited => StatusCode::TOO_MANY_REQUESTS,
        Class::Bug => StatusCode::INTERNAL_SERVER_ERROR,
        Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        status_of(self.0.class())
    }

    fn error_response(&self) -> HttpResponse {
        let class = self.0.class();
        let cause = cause_chain(&*self.0);
        match class {
            Class::Bug => tracing::error!(code = self.0.code(), cause, "request failed"),
            Class::Unavailable => {
                tracing::warn!(code = self.0.code(), cause, "request cannot be served now");
            }
            _ => tracing::debug!(code = self.0.code(), cause, "request refused"),
        }
        let status = status_of(class);
        // The text of a defect is for the operator: it could hold secrets.
        let detail = match class {
            Class::Bug => "the service failed; nothing was stored".to_owned(),
            _ => self.0.to_string(),
        };
        let mut response = HttpResponse::build(status);
        if let Some(seconds) = self.0.retry_after() {
            response.insert_header(("Retry-After", seconds.to_string()));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.insert_header(("WWW-Authenticate", "Bearer"));
        }
        let problem = Problem {
            total: self.0.total(),
            ..Problem::new(status, self.0.code(), detail)
        };
        problem.answer(response)
    }
}

/// A problem that does not come from an error of a use case.
pub fn problem(status: StatusCode, code: &str, detail: String) -> HttpResponse {
    Problem::new(status, code, detail).answer(HttpResponse::build(status))
}

impl Problem {
    fn new(status: StatusCode, code: &str, detail: String) -> Self {
        Self {
            r#type: format!("/api/docs/problems#{code}"),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            code: code.to_owned(),
            detail,
            trace_id: traces::current().map(TraceParent::trace_id),
            total: None,
        }
    }

    fn answer(&self, mut response: HttpResponseBuilder) -> HttpResponse {
        response
            .content_type("application/problem+json")
            .body(serde_json::to_string(self).expect("a problem is always JSON"))
    }
}
