use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    body::Bytes,
    header::{self, HeaderValue},
};
use serde_json::json;

/// An answer as problem+json (RFC 9457), with the same fields as the services' problems.
pub fn problem(status: StatusCode, code: &str, detail: &str) -> Response<Full<Bytes>> {
    let body = json!({
        "type": format!("/api/docs/problems#{code}"),
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "code": code,
        "detail": detail,
        "trace_id": null,
    });
    let response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/problem+json")
        .body(Full::from(body.to_string()))
        .expect("constant headers always make a response");
    if status == StatusCode::SERVICE_UNAVAILABLE {
        retry_after(response, 1)
    } else {
        response
    }
}

/// Adds `Retry-After` to an answer.
pub fn retry_after<B>(mut response: Response<B>, seconds: u32) -> Response<B> {
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// The gateway's own problem codes, for the page that explains all codes.
pub const OWN: [(&str, u16, &str); 3] = [
    (
        "service_unavailable",
        503,
        "The service behind the gateway does not answer. Try again with the same Idempotency-Key.",
    ),
    (
        "host_not_allowed",
        421,
        "The store is not asked for by this host name. Its operator can allow it: ALLOWED_HOSTS.",
    ),
    (
        "too_many_connections",
        503,
        "The gateway has as many connections as it takes, or as it takes from one network. Try \
         again after Retry-After.",
    ),
];
