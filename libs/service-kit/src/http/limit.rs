use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
};

use actix_web::HttpRequest;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock};
use kernel::{Class, Classify, UserId};

/// Whose requests are counted together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Counted {
    User(UserId),
    /// Somebody who is not logged in.
    Network(IpAddr),
}

/// How many requests a caller may send: some at once, and so many a second in the long run.
pub struct Limits(Option<DefaultKeyedRateLimiter<Counted>>);

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("too many requests; go on in {seconds} s, with the same Idempotency-Key")]
pub struct TooManyRequests {
    seconds: u32,
}

impl Classify for TooManyRequests {
    fn class(&self) -> Class {
        Class::Limited
    }
    fn code(&self) -> &'static str {
        "too_many_requests"
    }
    fn retry_after(&self) -> Option<u32> {
        Some(self.seconds)
    }
}

impl Limits {
    /// `per_second` 0 is no limit.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let quota = NonZeroU32::new(per_second).map(Quota::per_second);
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        Self(quota.map(|quota| RateLimiter::keyed(quota.allow_burst(burst))))
    }

    /// Counts a request.
    pub fn check(&self, who: Counted) -> Result<(), TooManyRequests> {
        let Some(limiter) = &self.0 else {
            return Ok(());
        };
        limiter.check_key(&who).map_err(|not_until| {
            let wait = not_until.wait_time_from(limiter.clock().now());
            let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX);
            TooManyRequests {
                seconds: seconds.saturating_add(1),
            }
        })
    }

    /// Forgets callers who may send as much as if they had never been here.
    pub fn forget_idle(&self) {
        if let Some(limiter) = &self.0 {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

/// The network from which a request comes, by its first address: one of version 6 has 2^64 of them, which its owner gives out
/// as they like, one of version 4 is an address.
pub fn network(request: &HttpRequest) -> Option<IpAddr> {
    address(request).map(|address| match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    })
}

/// Where a request comes from: what the gateway says, which it appends to whatever its client says.
fn address(request: &HttpRequest) -> Option<IpAddr> {
    let forwarded = request.headers().get_all("x-forwarded-for").last();
    let forwarded =
        forwarded.and_then(|header| header.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    forwarded.or_else(|| request.peer_addr().map(|peer| peer.ip()))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_caller_has_a_limit_of_their_own() {
        let limits = Limits::new(1, 3);
        let (ada, bob) = (Counted::User(UserId::new()), Counted::User(UserId::new()));
        for _ in 0..3 {
            limits.check(ada).unwrap();
        }
        assert_eq!(limits.check(ada).unwrap_err().seconds, 1);
        limits.check(bob).unwrap();
        let none = Limits::new(0, 1);
        assert!((0..1000).all(|_| none.check(ada).is_ok()));
    }

    #[test]
    fn a_client_cannot_choose_its_address() {
        let request = TestRequest::default()
            .append_header(("x-forwarded-for", "10.0.0.1"))
            .append_header(("x-forwarded-for", "10.0.0.2, 10.0.0.3"))
            .to_http_request();
        assert_eq!(address(&request), Some("10.0.0.3".parse().unwrap()));
    }

    #[test]
    fn who_has_many_addresses_of_one_network_is_one() {
        let of = |address: &str| {
            let request = TestRequest::default().append_header(("x-forwarded-for", address));
            network(&request.to_http_request()).unwrap()
        };
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff:1:2:3"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
