//! The headers that the gateway adds or removes.

use std::time::Duration;

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Headers that belong to one connection and end with it (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Headers for browsers, which each answer gets unless it has its own. The services send the same,
/// because some can be reached without the gateway.
const OF_ANSWERS: [(HeaderName, HeaderValue); 4] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
];

/// The policy of the gateway's own pages: they have inline styles and no scripts.
pub const POLICY_OF_PAGES: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri \
                                   'none'; form-action 'none'; frame-ancestors 'none'";

/// The header that tells browsers to come over TLS only (HSTS); `None` for a duration of zero.
pub fn transport_security(lasts: Duration) -> Option<HeaderValue> {
    let text = format!("max-age={}", lasts.as_secs());
    let header = HeaderValue::from_str(&text).expect("a number makes a header");
    (!lasts.is_zero()).then_some(header)
}

pub fn complete(headers: &mut HeaderMap, transport_security: Option<&HeaderValue>) {
    for (name, value) in OF_ANSWERS {
        headers.entry(name).or_insert(value);
    }
    if let Some(value) = transport_security {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, value.clone());
    }
}
