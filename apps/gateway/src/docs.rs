use std::fmt::Write;

use http_body_util::Full;
use hyper::{Response, StatusCode, body::Bytes, header};
use serde::Deserialize;

use crate::{GatewaySettings, proxy::Proxy, routes::Service, ways::Ways};

/// The list of API pages.
pub fn index() -> Response<Full<Bytes>> {
    let mut list = String::new();
    for service in Service::ALL {
        list += &format!(
            "<li><a href=\"{service}/\">{service}</a> · <a href=\"{service}/openapi.json\">OpenAPI</a></li>"
        );
    }
    page(
        "Tovar: API",
        &format!("<ul>{list}</ul><p><a href=\"problems\">What each problem's code means</a></p>"),
    )
}

pub fn redirect(location: &str) -> Response<Full<Bytes>> {
    Response::builder()
        .status(StatusCode::PERMANENT_REDIRECT)
        .header(header::LOCATION, location)
        .body(Full::default())
        .expect("a path of the route table is always a header")
}

#[derive(PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct ProblemDoc {
    code: String,
    status: u16,
    meaning: String,
}

/// What each problem's code means, as the services say it.
pub async fn problems(settings: &GatewaySettings, ways: &Ways) -> Response<Full<Bytes>> {
    let mut problems: Vec<ProblemDoc> = Vec::new();
    for service in Service::ALL {
        let answer = Proxy::get(ways, settings.base_of(service), "/problems.json").await;
        let known = answer.and_then(|json| serde_json::from_slice::<Vec<ProblemDoc>>(&json).ok());
        problems.extend(known.unwrap_or_default());
    }
    problems.push(ProblemDoc {
        code: "service_unavailable".to_owned(),
        status: 503,
        meaning: "The service behind the gateway does not answer. Try again with the same Idempotency-Key."
            .to_owned(),
    });
    // A code may mean something else to another service; each meaning is shown once.
    problems.sort();
    problems.dedup();
    let mut rows = String::new();
    for ProblemDoc {
        code,
        status,
        meaning,
    } in &problems
    {
        // Writing into a string cannot fail.
        let _ = write!(
            rows,
            "<tr id=\"{code}\"><td><code>{code}</code></td><td>{status}</td><td>{meaning}</td></tr>"
        );
    }
    page(
        "Tovar: problems",
        &format!("<table><tr><th>code</th><th>status</th><th>meaning</th></tr>{rows}</table>"),
    )
}

fn page(title: &str, content: &str) -> Response<Full<Bytes>> {
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <style>body{{font:16px/1.5 system-ui;margin:3rem auto;max-width:60rem;padding:0 1rem}}\
         td,th{{text-align:left;padding:.3rem 1rem .3rem 0;vertical-align:top}}tr:target{{background:#ffc}}</style>\
         <h1>{title}</h1>{content}</html>"
    );
    Response::builder()
        .header(header::CONTENT_TYPE, "text/html; charset=utf-8")
        .body(Full::from(html))
        .expect("constant headers always make a response")
}
