//! The gateway's own pages.

use std::{fmt::Write, time::Duration};

use futures_util::future::join_all;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::{Response, StatusCode, Uri, body::Bytes, header};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde::Deserialize;
use tokio::{sync::Mutex, time::Instant};

use crate::{
    connector::ServiceConnector, headers::POLICY_OF_PAGES, problem, routes::Service,
    settings::GatewaySettings,
};

/// The list of API pages.
pub fn index() -> Response<Full<Bytes>> {
    let mut list = String::new();
    for service in Service::ALL {
        list += &format!(
            "<li><a href=\"{service}/\">{service}</a> · <a \
             href=\"{service}/openapi.json\">OpenAPI</a></li>"
        );
    }
    html(page(
        "Tovar: API",
        &format!("<ul>{list}</ul><p><a href=\"problems\">What each problem's code means</a></p>"),
    ))
}

pub fn redirect(location: &str) -> Response<Full<Bytes>> {
    Response::builder()
        .status(StatusCode::PERMANENT_REDIRECT)
        .header(header::LOCATION, location)
        .body(Full::default())
        .expect("a path of the route table is always a header")
}

/// How long the page of problems is kept before the services are asked again: codes change with
/// releases only.
const PAGE_LIFETIME: Duration = Duration::from_secs(300);
/// How long it is kept if a service did not answer.
const INCOMPLETE_PAGE_LIFETIME: Duration = Duration::from_secs(5);
/// How long a service may take to list its problems.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Size of such an answer at most.
const ANSWER_MAX_BYTES: usize = 256 * 1024;

#[derive(PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct ProblemDoc {
    code: String,
    status: u16,
    meaning: String,
}

/// The page that explains each problem's code, from the services' own lists. It is cached, so that
/// many requests for it do not reach the services.
pub struct Problems {
    client: Client<ServiceConnector, Empty<Bytes>>,
    made: Mutex<Option<Made>>,
}

struct Made {
    page: Bytes,
    good_until: Instant,
}

impl Problems {
    pub fn new(connector: &ServiceConnector) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector.clone()),
            made: Mutex::default(),
        }
    }

    pub async fn answer(&self, settings: &GatewaySettings) -> Response<Full<Bytes>> {
        // Requests that come while the page is being made wait for it.
        let mut made = self.made.lock().await;
        let known = made
            .as_ref()
            .filter(|made| Instant::now() < made.good_until);
        let page = if let Some(made) = known {
            made.page.clone()
        } else {
            let new = self.make(settings).await;
            let page = new.page.clone();
            *made = Some(new);
            page
        };
        html(page)
    }

    async fn make(&self, settings: &GatewaySettings) -> Made {
        let lists = Service::ALL.map(|service| self.problems_of(settings.base_of(service)));
        let lists = join_all(lists).await;
        let lifetime = if lists.iter().all(Option::is_some) {
            PAGE_LIFETIME
        } else {
            INCOMPLETE_PAGE_LIFETIME
        };
        let own = problem::OWN.map(|(code, status, meaning)| ProblemDoc {
            code: code.to_owned(),
            status,
            meaning: meaning.to_owned(),
        });
        let mut problems: Vec<ProblemDoc> =
            lists.into_iter().flatten().flatten().chain(own).collect();
        // Two services may explain a code differently; each explanation is shown once.
        problems.sort();
        problems.dedup();
        Made {
            page: Bytes::from(table(&problems)),
            good_until: Instant::now() + lifetime,
        }
    }

    /// The problems of a service; `None` if it does not answer in time.
    async fn problems_of(&self, base: &Uri) -> Option<Vec<ProblemDoc>> {
        let target = format!("{}/problems.json", base.to_string().trim_end_matches('/'));
        let target: Uri = target.parse().ok()?;
        let whole = async {
            let answer = self.client.get(target).await.ok()?;
            let body = Limited::new(answer.into_body(), ANSWER_MAX_BYTES)
                .collect()
                .await;
            Some(body.ok()?.to_bytes())
        };
        let json = tokio::time::timeout(ANSWER_TIMEOUT, whole).await.ok()??;
        serde_json::from_slice(&json).ok()
    }
}

fn table(problems: &[ProblemDoc]) -> String {
    let mut rows = String::new();
    for ProblemDoc {
        code,
        status,
        meaning,
    } in problems
    {
        // Writing into a string cannot fail.
        let _ = write!(
            rows,
            "<tr id=\"{code}\"><td><code>{code}</code></td><td>{status}</td><td>{meaning}</td></tr>"
        );
    }
    let content =
        format!("<table><tr><th>code</th><th>status</th><th>meaning</th></tr>{rows}</table>");
    page("Tovar: problems", &content)
}

fn page(title: &str, content: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <style>body{{font:16px/1.5 system-ui;margin:3rem auto;max-width:60rem;padding:0 1rem}}\
         td,th{{text-align:left;padding:.3rem 1rem .3rem 0;vertical-align:top}}\
         tr:target{{background:#ffc}}</style>\
         <h1>{title}</h1>{content}</html>"
    )
}

fn html(page: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder()
        .header(header::CONTENT_TYPE, "text/html; charset=utf-8")
        .header(header::CACHE_CONTROL, "no-cache")
        .header(header::CONTENT_SECURITY_POLICY, POLICY_OF_PAGES)
        .body(Full::new(page.into()))
        .expect("constant headers always make a response")
}
