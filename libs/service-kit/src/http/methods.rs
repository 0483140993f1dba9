//! Which methods the service's addresses have (RFC 9110, section 9).

use actix_web::{
    Error, HttpMessage, HttpRequest, HttpResponse,
    body::MessageBody,
    dev::{ResourceDef, ServiceRequest, ServiceResponse},
    http::{Method, StatusCode, header},
    middleware::Next,
    web::Data,
};
use kernel::{Class, Classify};
use utoipa::openapi::OpenApi;

use super::{
    docs,
    problem::{Responded, problem},
};

/// The methods by address, as the service's API page has them.
pub struct Methods(Vec<(ResourceDef, String)>);

impl Methods {
    pub fn of(api: &OpenApi) -> Self {
        let of_api = api.paths.paths.iter().map(|(path, item)| {
            let operations = [
                (Method::GET, &item.get),
                (Method::PUT, &item.put),
                (Method::POST, &item.post),
                (Method::PATCH, &item.patch),
                (Method::DELETE, &item.delete),
            ];
            let there = operations
                .into_iter()
                .filter(|(_, operation)| operation.is_some());
            (path.clone(), there.map(|(method, _)| method).collect())
        });
        let of_docs = docs::paths().map(|path| (path, vec![Method::GET]));
        let mut all: Vec<(String, Vec<Method>)> = of_api.chain(of_docs).collect();
        // The first match wins: an address without placeholders goes before one with.
        all.sort_by_key(|(path, _)| path.matches('{').count());
        let described = all
            .into_iter()
            .map(|(path, methods)| (ResourceDef::new(path), allow(methods)));
        Self(described.collect())
    }

    /// The value of `Allow` for an address; `None` if there is nothing at it.
    fn allowed(&self, path: &str) -> Option<&str> {
        let (_, allowed) = self.0.iter().find(|(known, _)| known.is_match(path))?;
        Some(allowed)
    }
}

fn allow(mut methods: Vec<Method>) -> String {
    if methods.contains(&Method::GET) {
        methods.push(Method::HEAD);
    }
    methods.push(Method::OPTIONS);
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    names.join(", ")
}

/// Marks a HEAD request that is answered as a GET.
struct WasHead;

/// Whether this is a HEAD request.
pub fn is_head(request: &HttpRequest) -> bool {
    request.extensions().get::<WasHead>().is_some()
}

/// Answers a HEAD as the GET of the same address; the server leaves out the body.
pub async fn head_as_get(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if request.method() == Method::HEAD {
        request.head_mut().method = Method::GET;
        request.extensions_mut().insert(WasHead);
    }
    next.call(request).await
}

/// Answers a request that no route takes: 405 if the address has other methods, 404 if there is
/// nothing at the address.
pub async fn no_route(request: HttpRequest, methods: Data<Methods>) -> Responded {
    let allowed = match request.path() {
        // The server as a whole.
        "*" => Some("GET, PUT, POST, PATCH, DELETE, HEAD, OPTIONS"),
        path => methods.allowed(path),
    };
    let allowed = allowed.ok_or(NoRoute)?;
    if request.method() == Method::OPTIONS {
        return Ok(HttpResponse::NoContent()
            .insert_header((header::ALLOW, allowed))
            .finish());
    }
    let detail = format!("this address has the methods {allowed}");
    let mut refusal = problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
    let allow = header::HeaderValue::from_str(allowed).expect("names of methods make a header");
    refusal.headers_mut().insert(header::ALLOW, allow);
    Ok(refusal)
}

/// A method as a metric's label. A client can invent methods, so all unknown ones share a label.
pub fn label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "PUT" => "PUT",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

#[derive(Debug, thiserror::Error)]
#[error("there is nothing at this address")]
struct NoRoute;

impl Classify for NoRoute {
    fn class(&self) -> Class {
        Class::NotFound
    }
    fn code(&self) -> &'static str {
        "no_such_route"
    }
}
