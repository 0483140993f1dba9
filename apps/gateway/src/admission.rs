//! The checks that come before everything else: the rate limits and the host name.

use std::{collections::BTreeSet, net::IpAddr, str::FromStr, sync::Arc};

use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::Bytes,
    header::{self, HeaderMap, HeaderValue},
};
use kernel::Classify;
use limits::{Limits, Purpose, TooManyRequests};

use crate::problem::{problem, retry_after};

/// A host name of the store, as a client writes it into `Host`; `*` is any name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct HostName(String);

#[derive(Debug, thiserror::Error)]
#[error(
    "a host name has no scheme and no port, such as shop.example.org, 127.0.0.1 or [::1]; * is \
     any name"
)]
pub struct InvalidHostName;

impl FromStr for HostName {
    type Err = InvalidHostName;

    fn from_str(text: &str) -> Result<Self, InvalidHostName> {
        let name = text.trim();
        let is_of_version_6 = name.starts_with('[') && name.ends_with(']');
        let is_name = !name.is_empty() && !name.contains(|c: char| "/:@[] ".contains(c));
        if is_of_version_6 || is_name {
            Ok(Self::of(name))
        } else {
            Err(InvalidHostName)
        }
    }
}

impl HostName {
    /// Normalizes a name for comparison: in lower case, and without the dot of the root.
    fn of(name: &str) -> Self {
        Self(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase())
    }

    /// The host of a request without its port; `None` unless the request names it once.
    fn asked_for<B>(request: &Request<B>) -> Option<Self> {
        let mut headers = request.headers().get_all(header::HOST).iter();
        let host = match (request.uri().authority(), headers.next(), headers.next()) {
            (Some(authority), _, None) => authority.as_str(),
            (None, Some(only), None) => only.to_str().ok()?,
            _ => return None,
        };
        Some(Self::of(match host.rfind(']') {
            Some(end) => &host[..=end],
            None => host.split(':').next().unwrap_or(host),
        }))
    }
}

/// The reason why a request is refused.
#[derive(Clone, Copy, Debug)]
pub enum Refused {
    TooMany(TooManyRequests),
    TooManyLogIns(TooManyRequests),
    Host,
}

impl Refused {
    pub fn answer(self) -> Response<Full<Bytes>> {
        match self {
            Self::TooMany(error) | Self::TooManyLogIns(error) => {
                let refusal = problem(
                    StatusCode::TOO_MANY_REQUESTS,
                    error.code(),
                    &error.to_string(),
                );
                retry_after(refusal, error.retry_after().unwrap_or(1))
            }
            Self::Host => problem(
                StatusCode::MISDIRECTED_REQUEST,
                "host_not_allowed",
                "the store is not asked for by this host name; who runs it can add the name to \
                 ALLOWED_HOSTS",
            ),
        }
    }

    /// The reason as a metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::TooMany(_) => "rate",
            Self::TooManyLogIns(_) => "log_in_rate",
            Self::Host => "host",
        }
    }
}

/// Decides which requests are passed on.
pub struct Admission {
    limits: Arc<Limits>,
    hosts: BTreeSet<HostName>,
    proxies: usize,
}

impl Admission {
    /// `proxies` trusted proxies stand before the gateway.
    pub fn new(limits: Arc<Limits>, hosts: &[HostName], proxies: usize) -> Self {
        let hosts = hosts.iter().cloned().collect();
        Self {
            limits,
            hosts,
            proxies,
        }
    }

    /// The address of the client of a request that came from `peer`.
    pub fn sender(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        let forwarded = headers.get_all("x-forwarded-for").iter();
        limits::sender(
            Some(peer),
            forwarded.map(HeaderValue::as_bytes),
            self.proxies,
        )
        .unwrap_or(peer)
    }

    /// Admits a request of this sender, or returns the reason why not.
    pub fn admit<B>(&self, request: &Request<B>, sender: IpAddr) -> Result<(), Refused> {
        let purpose = Purpose::of(request.method().as_str(), request.uri().path());
        let refused = match purpose {
            Purpose::LogIn => Refused::TooManyLogIns,
            Purpose::Other => Refused::TooMany,
        };
        let network = limits::network(sender);
        self.limits.admit(network, purpose).map_err(refused)?;
        if let Some(token) = request.headers().get(header::AUTHORIZATION) {
            let caller = self.limits.caller_of_token(token.as_bytes());
            self.limits.admit_caller(caller).map_err(Refused::TooMany)?;
        }
        let is_any_allowed = self.hosts.contains(&HostName("*".to_owned()));
        let host = HostName::asked_for(request);
        if is_any_allowed || host.is_some_and(|host| self.hosts.contains(&host)) {
            Ok(())
        } else {
            Err(Refused::Host)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_is_one_without_scheme_and_port() {
        for name in [
            "shop.example.org",
            "localhost",
            "10.0.0.1",
            "[::1]",
            "*",
            " Shop. ",
        ] {
            assert!(name.parse::<HostName>().is_ok(), "{name}");
        }
        for other in [
            "",
            "http://shop",
            "shop:80",
            "::1",
            "[::1",
            "a b",
            "a/b",
            "me@shop",
        ] {
            assert!(other.parse::<HostName>().is_err(), "{other}");
        }
    }

    #[test]
    fn what_is_asked_for_is_compared_without_port_and_case() {
        let asked = |uri: &str, hosts: &[&str]| {
            let request = hosts.iter().fold(Request::get(uri), |request, host| {
                request.header(header::HOST, *host)
            });
            HostName::asked_for(&request.body(()).unwrap()).map(|HostName(name)| name)
        };
        for (hosts, name) in [
            (&["Shop.example.org:8080"][..], Some("shop.example.org")),
            (&["shop.example.org."], Some("shop.example.org")),
            (&["[::1]:8080"], Some("[::1]")),
            (&["[::1]"], Some("[::1]")),
            (&["127.0.0.1"], Some("127.0.0.1")),
            (&[], None),
            (&["a", "b"], None),
        ] {
            assert_eq!(asked("/", hosts).as_deref(), name, "{hosts:?}");
        }
        assert_eq!(
            asked("http://evil.example/", &["shop"]).as_deref(),
            Some("evil.example")
        );
    }
}
