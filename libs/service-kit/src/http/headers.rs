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

/// The addresses that anyone may read. What is there is no secret of anybody's.
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

/// What every answer says to browsers, unless it says something else itself.
const EVERYWHERE: [(HeaderName, HeaderValue); 3] = [
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
];

/// Puts them on, and says who may keep an answer: a cache that keeps one that anyone may read asks
/// again before it uses it; the others are personal, or hold a secret, and are not kept at all.
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
