use std::collections::HashSet;

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::Next,
    web::Data,
};
use utoipa::openapi::OpenApi;

use super::docs;

/// The addresses that may be read without a token. Their answers hold nothing personal.
pub struct Public(HashSet<String>);

impl Public {
    pub fn of(api: &OpenApi) -> Self {
        let of_api = api.paths.paths.iter().filter(|(_, item)| {
            let read = item.get.as_ref();
            read.is_some_and(|read| read.security.is_none())
        });
        let of_api = of_api.map(|(path, _)| path.clone());
        Self(of_api.chain(docs::paths()).collect())
    }
}

/// What every answer tells browsers, unless the route sets another value.
const EVERYWHERE: [(HeaderName, HeaderValue); 3] = [
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
];

/// Adds the security headers and `Cache-Control`: a cache may keep a public answer and has to ask
/// again before it uses it; all other answers are personal or secret, and are not kept.
pub async fn complete(
    public: Data<Public>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let is_read = request.method() == Method::GET;
    let is_public = is_read
        && request
            .match_pattern()
            .is_some_and(|path| public.0.contains(&path));
    let mut answered = next.call(request).await?;
    let keeping = if is_public
        && !answered.status().is_client_error()
        && !answered.status().is_server_error()
    {
        HeaderValue::from_static("no-cache")
    } else {
        HeaderValue::from_static("no-store")
    };
    let headers = answered.headers_mut();
    for (name, value) in EVERYWHERE.into_iter().chain([(CACHE_CONTROL, keeping)]) {
        if !headers.contains_key(&name) {
            headers.insert(name, value);
        }
    }
    Ok(answered)
}
