use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use clap::Parser;
use gateway::{
    GatewaySettings, Running,
    templates::{TEMPLATES, Template},
};
use http_body_util::Full;
use hyper::{Request, Response, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use reqwest::{
    Client, Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use tokio::net::TcpListener;

/// A request that a service received.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub headers: HeaderMap,
}

/// All six services in one.
pub struct Services {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Services {
    /// Each answer has this body.
    pub async fn answering(body: impl Into<Bytes>) -> Self {
        let (body, asked) = (body.into(), Arc::new(Mutex::new(Vec::new())));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (body, heard) = (body.clone(), heard.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    heard.lock().unwrap().push(Asked {
                        path: request.uri().path().to_owned(),
                        headers: request.headers().clone(),
                    });
                    let answer = Response::builder()
                        .header("keep-alive", "timeout=5")
                        .body(Full::new(body.clone()))
                        .unwrap();
                    async move { Ok::<_, Infallible>(answer) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Self { address, asked }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// A gateway and the service behind it.
pub struct Fixture {
    pub services: Services,
    pub gateway: Running,
    client: Client,
}

/// An answer, its body read.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    /// The code, if it is a problem.
    pub fn code(&self) -> Option<String> {
        let (_, rest) = self.body.split_once("\"code\":\"")?;
        Some(rest.split('"').next()?.to_owned())
    }

    pub fn is_limited(&self) -> bool {
        if self.status != 429 {
            return false;
        }
        assert_eq!(self.code().as_deref(), Some("too_many_requests"));
        let wait: u64 = self.headers["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!(wait > 0);
        true
    }
}

impl Fixture {
    pub async fn start(own: &[&str]) -> Self {
        Self::before(Services::answering("{}").await, own).await
    }

    pub async fn before(services: Services, own: &[&str]) -> Self {
        let mut arguments = vec!["gateway".to_owned(), "--listen=127.0.0.1:0".to_owned()];
        for service in [
            "users",
            "billing",
            "orders",
            "warehouse",
            "delivery",
            "notifications",
        ] {
            let setting = format!("--{service}=");
            if !own.iter().any(|own| own.starts_with(&setting)) {
                arguments.push(format!("{setting}http://{}", services.address));
            }
        }
        arguments.push("--ops-listen=127.0.0.1:0".to_owned());
        arguments.extend(own.iter().map(ToString::to_string));
        let settings = GatewaySettings::try_parse_from(arguments).unwrap();
        let gateway = gateway::start(settings).await.unwrap();
        let client = Client::builder()
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self {
            services,
            gateway,
            client,
        }
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            all.append(name, HeaderValue::from_str(value).unwrap());
        }
        let url = format!("http://{}{path}", self.gateway.address);
        let answer = self
            .client
            .request(method, url)
            .headers(all)
            .send()
            .await
            .unwrap();
        Answer {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            body: answer.text().await.unwrap(),
        }
    }

    /// The lines of the gateway's metrics.
    pub async fn metrics(&self) -> Vec<String> {
        let url = format!("http://{}/metrics", self.gateway.ops_address);
        let text = self
            .client
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        text.lines().map(ToOwned::to_owned).collect()
    }

    /// The value of the one metric whose line holds all of these words.
    pub async fn metric(&self, words: &[&str]) -> f64 {
        let lines = self.metrics().await;
        let mut found = lines
            .iter()
            .filter(|line| !line.starts_with('#') && words.iter().all(|word| line.contains(word)));
        let (Some(line), None) = (found.next(), found.next()) else {
            panic!("{words:?} in {lines:#?}");
        };
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }
}

/// Every kind of request: all routes of the services, the gateway's own pages, and unknown paths.
pub fn every_route() -> Vec<(String, String)> {
    let of_services = TEMPLATES.iter().map(|Template { method, route }| {
        let id = "018f2f9e-7c1a-7000-8000-000000000000";
        let segments = route.split('/');
        let path: Vec<&str> = segments
            .map(|segment| {
                if segment.starts_with('{') {
                    id
                } else {
                    segment
                }
            })
            .collect();
        ((*method).to_owned(), path.join("/"))
    });
    let others = [
        ("GET", "/"),
        ("GET", "/api/nothing"),
        ("POST", "/api/nothing"),
        ("GET", "/api/orders/1/2/3"),
        ("GET", "/api/docs"),
        ("GET", "/api/docs/"),
        ("GET", "/api/docs/problems"),
        ("GET", "/api/docs/orders"),
        ("GET", "/api/docs/orders/"),
        ("GET", "/api/docs/orders/swagger-ui-bundle.js"),
        ("OPTIONS", "/api/orders"),
        ("PUT", "/api/orders"),
        ("BREW", "/api/orders"),
        ("BREW", "/api/nothing"),
        ("BREW", "/api/docs/"),
    ];
    let others = others.map(|(method, path)| (method.to_owned(), path.to_owned()));
    of_services.chain(others).collect()
}
