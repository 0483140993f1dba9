use http_body_util::Full;
use hyper::{Response, StatusCode, body::Bytes, header};
use serde_json::json;

/// problem+json (RFC 9457), in the shape of the services'.
pub fn problem(status: StatusCode, code: &str, detail: &str) -> Response<Full<Bytes>> {
    let body = json!({
        "type": format!("/api/docs/problems#{code}"),
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "code": code,
        "detail": detail,
        "trace_id": null,
    });
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/problem+json");
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response = response.header(header::RETRY_AFTER, "1");
    }
    response
        .body(Full::from(body.to_string()))
        .expect("constant headers always make a response")
}
