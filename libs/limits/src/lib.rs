//! The rate limits of the store: how many requests callers and networks may send. The gateway and
//! each service apply them first.

mod network;

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    num::NonZeroU32,
    time::Duration,
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock};
use kernel::{Class, Classify, UserId};

pub use network::{network, sender, site};

/// How many requests callers and networks may send.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitSettings {
    /// Requests that a caller may send a second in the long run; 0 removes this limit and those of
    /// networks
    #[arg(long, env = "RATE_LIMIT", default_value_t = 100)]
    pub rate_limit: u32,

    /// Requests that a caller may send at once
    #[arg(
        long,
        env = "RATE_BURST",
        default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub rate_burst: u32,

    /// Requests that a network may send a second, all its callers together. A network is an address
    /// of IPv4, or the first 64 bits of one of IPv6; those of the same first 48 bits may together
    /// send 16 times as many
    #[arg(
        long,
        env = "NETWORK_RATE_LIMIT",
        default_value_t = 400,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub network_rate_limit: u32,

    /// Log-ins, refreshed sessions, registrations and changes of a password that a network may send
    /// a minute
    #[arg(
        long,
        env = "LOGIN_RATE_LIMIT",
        default_value_t = 120,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub login_rate_limit: u32,
}

impl LimitSettings {
    /// Whether anything is limited.
    pub const fn is_limited(&self) -> bool {
        self.rate_limit > 0
    }
}

/// The caller whose requests are counted together. Their network counts them, too.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CountedCaller {
    /// A user whose token was verified.
    User(UserId),
    /// The hash of a token that is not verified yet.
    Token(u64),
}

/// What a request is for, as far as the limits differ by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// It may be a guess at a password or a token, or makes the store hash a password.
    LogIn,
    Other,
}

impl Purpose {
    /// Of a request with this method and path.
    pub fn of(method: &str, path: &str) -> Self {
        let is_log_in = match method {
            "POST" => {
                path == "/api/users"
                    || path == "/api/sessions"
                    || path.starts_with("/api/sessions/")
            }
            "PATCH" => path == "/api/users/me",
            _ => false,
        };
        if is_log_in { Self::LogIn } else { Self::Other }
    }
}

/// A site (48 bits of IPv6) may send as many requests as this number of its networks (64 bits): one
/// owner often has a whole site, and could use its 65536 networks in turn.
const NETWORKS_PER_SITE: u32 = 16;
/// How often callers and networks are forgotten whose whole burst is free again.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

type Keyed<K> = DefaultKeyedRateLimiter<K>;

/// The limits, and the requests so far. Each process counts for itself, so that each replica admits
/// as much as one.
pub struct Limits {
    counts: Option<Counts>,
    tokens: RandomState,
}

struct Counts {
    callers: Keyed<CountedCaller>,
    all: Networks,
    log_ins: Networks,
}

/// Requests by network and by site.
struct Networks {
    networks: Keyed<IpAddr>,
    sites: Keyed<IpAddr>,
}

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
    pub fn new(settings: &LimitSettings) -> Self {
        let counts = NonZeroU32::new(settings.rate_limit).map(|rate| Counts {
            callers: RateLimiter::keyed(
                Quota::per_second(rate).allow_burst(at_least_one(settings.rate_burst)),
            ),
            all: Networks::new(settings.network_rate_limit, Quota::per_second),
            log_ins: Networks::new(settings.login_rate_limit, Quota::per_minute),
        });
        Self {
            counts,
            tokens: RandomState::new(),
        }
    }

    /// Counts a request of a network. This comes before everything else, also for a request with a
    /// token: a token gives its network no further requests.
    pub fn admit(&self, network: IpAddr, purpose: Purpose) -> Result<(), TooManyRequests> {
        let Some(counts) = &self.counts else {
            return Ok(());
        };
        if purpose == Purpose::LogIn {
            counts.log_ins.check(network)?;
        }
        counts.all.check(network)
    }

    /// Counts a request of a caller, from any network.
    pub fn admit_caller(&self, caller: CountedCaller) -> Result<(), TooManyRequests> {
        match &self.counts {
            None => Ok(()),
            Some(counts) => check(&counts.callers, &caller),
        }
    }

    /// The caller who sends this token. The token itself is not kept.
    pub fn caller_of_token(&self, token: &[u8]) -> CountedCaller {
        CountedCaller::Token(self.tokens.hash_one(token))
    }

    /// Forgets idle callers and networks at an interval, for as long as it is polled.
    pub async fn keep_small(&self) {
        loop {
            tokio::time::sleep(SWEEP_INTERVAL).await;
            if let Some(counts) = &self.counts {
                forget_idle(&counts.callers);
                for networks in [&counts.all, &counts.log_ins] {
                    forget_idle(&networks.networks);
                    forget_idle(&networks.sites);
                }
            }
        }
    }
}

impl Networks {
    fn new(limit: u32, per: impl Fn(NonZeroU32) -> Quota) -> Self {
        let limit = at_least_one(limit);
        let of_site = limit.saturating_mul(at_least_one(NETWORKS_PER_SITE));
        Self {
            networks: RateLimiter::keyed(per(limit)),
            sites: RateLimiter::keyed(per(of_site)),
        }
    }

    fn check(&self, network: IpAddr) -> Result<(), TooManyRequests> {
        check(&self.networks, &network)?;
        match site(network) {
            None => Ok(()),
            Some(site) => check(&self.sites, &site),
        }
    }
}

fn at_least_one(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN)
}

fn check<K: Clone + Eq + std::hash::Hash>(
    limiter: &Keyed<K>,
    who: &K,
) -> Result<(), TooManyRequests> {
    limiter.check_key(who).map_err(|not_until| {
        let wait = not_until.wait_time_from(limiter.clock().now());
        let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX);
        TooManyRequests {
            seconds: seconds.saturating_add(1),
        }
    })
}

fn forget_idle<K: Clone + Eq + std::hash::Hash>(limiter: &Keyed<K>) {
    limiter.retain_recent();
    limiter.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "10.0.0.1";

    fn limits(rate_limit: u32, burst: u32, network: u32, log_ins: u32) -> Limits {
        Limits::new(&LimitSettings {
            rate_limit,
            rate_burst: burst,
            network_rate_limit: network,
            login_rate_limit: log_ins,
        })
    }

    /// How many of a thousand requests of these networks, one after the other, are taken.
    fn taken(limits: &Limits, networks: &[IpAddr], purpose: Purpose) -> usize {
        let all = networks.iter().cycle().take(1000);
        all.filter(|network| limits.admit(**network, purpose).is_ok())
            .count()
    }

    fn at(address: &str) -> IpAddr {
        network(address.parse().unwrap())
    }

    #[test]
    fn a_caller_has_a_limit_of_their_own() {
        let limits = limits(1, 3, 1000, 1000);
        let (ada, bob) = (
            CountedCaller::User(UserId::new()),
            CountedCaller::User(UserId::new()),
        );
        for _ in 0..3 {
            limits.admit_caller(ada).unwrap();
        }
        assert_eq!(limits.admit_caller(ada).unwrap_err().seconds, 1);
        limits.admit_caller(bob).unwrap();
    }

    #[test]
    fn all_callers_of_a_network_have_one_together() {
        let limits = limits(1000, 1000, 5, 1000);
        let admitted = |_| limits.admit(at(HOME), Purpose::Other).is_ok();
        assert_eq!((0..10).filter(|number| admitted(*number)).count(), 5);
        limits.admit(at("10.0.0.2"), Purpose::Other).unwrap();
    }

    #[test]
    fn log_ins_have_a_stricter_one() {
        let limits = limits(1000, 1000, 1000, 3);
        assert_eq!(taken(&limits, &[at(HOME)], Purpose::LogIn), 3);
        let refused = limits.admit(at(HOME), Purpose::LogIn).unwrap_err();
        assert!((15..=20).contains(&refused.seconds), "{refused:?}");
        limits.admit(at(HOME), Purpose::Other).unwrap();
    }

    /// Its owner has 65536 networks of 64 bits.
    #[test]
    fn a_site_of_many_networks_has_one_too() {
        let limits = limits(1000, 1000, 1000, 2);
        let networks: Vec<IpAddr> = (0..500)
            .map(|number| at(&format!("2001:db8:1:{number:x}::1")))
            .collect();
        assert_eq!(taken(&limits, &networks, Purpose::LogIn), 32);
        limits.admit(at("2001:db8:2::1"), Purpose::LogIn).unwrap();
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let limits = limits(0, 1, 1, 1);
        assert_eq!(taken(&limits, &[at(HOME)], Purpose::LogIn), 1000);
        assert!((0..1000).all(|_| limits.admit_caller(CountedCaller::Token(1)).is_ok()));
    }

    #[test]
    fn a_token_is_known_again_and_not_kept() {
        let limits = limits(1, 1, 1, 1);
        let ada = limits.caller_of_token(b"Bearer ada");
        assert_eq!(limits.caller_of_token(b"Bearer ada"), ada);
        assert_ne!(limits.caller_of_token(b"Bearer bob"), ada);
    }

    #[test]
    fn what_may_be_a_guess_is_a_log_in() {
        for (method, path, purpose) in [
            ("POST", "/api/sessions", Purpose::LogIn),
            ("POST", "/api/sessions/refresh", Purpose::LogIn),
            ("POST", "/api/users", Purpose::LogIn),
            ("PATCH", "/api/users/me", Purpose::LogIn),
            ("GET", "/api/users/me", Purpose::Other),
            ("DELETE", "/api/sessions/current", Purpose::Other),
            ("POST", "/api/sessionsx", Purpose::Other),
            ("POST", "/api/orders", Purpose::Other),
        ] {
            assert_eq!(Purpose::of(method, path), purpose, "{method} {path}");
        }
    }
}
