use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use kernel::{Class, Classify};

/// Limits attempts to log in: so many at the same time for one account and for one network, and
/// none for a network from which many failed. It counts in this process only, and is cheap, so that
/// most of a flood ends here.
pub struct Attempts {
    state: Mutex<State>,
    at_once_per_network: u32,
}

/// Passwords that are checked at the same time for one account.
const AT_ONCE_PER_ACCOUNT: u32 = 2;
/// Failures after which a network has to wait.
const FREE_PER_NETWORK: u32 = 50;
/// How long it takes until one failure of a network is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5);
/// Networks whose failures are remembered. With one more the memory of all is cleared, so that it
/// stays small.
const NETWORKS_MAX: usize = 50_000;

#[derive(Default)]
struct State {
    running: HashMap<Limited, u32>,
    /// The time at which all failures of a network are forgotten.
    failed: HashMap<IpAddr, Instant>,
}

/// What attempts are counted by.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Limited {
    Account(String),
    Network(IpAddr),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("too many attempts to log in; try again in {seconds} s")]
pub struct TooManyAttempts {
    pub seconds: u32,
}

impl Classify for TooManyAttempts {
    fn class(&self) -> Class {
        Class::Limited
    }
    fn code(&self) -> &'static str {
        "too_many_attempts"
    }
    fn retry_after(&self) -> Option<u32> {
        Some(self.seconds)
    }
}

/// A running attempt, which ends when it is dropped.
#[must_use]
pub struct Attempt {
    attempts: Arc<Attempts>,
    counted: Vec<Limited>,
    network: Option<IpAddr>,
}

impl Attempts {
    pub fn new(at_once_per_network: u32) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            at_once_per_network: at_once_per_network.max(1),
        })
    }

    /// Begins an attempt for this account from this network, or says when to try again.
    pub fn begin(
        self: &Arc<Self>,
        account: &str,
        network: Option<IpAddr>,
    ) -> Result<Attempt, TooManyAttempts> {
        let counted: Vec<_> = [Limited::Account(account.to_owned())]
            .into_iter()
            .chain(network.map(Limited::Network))
            .collect();
        let mut state = self.state();
        if let Some(network) = network {
            state.check(network, Instant::now())?;
        }
        for key in &counted {
            let at_once = match key {
                Limited::Account(_) => AT_ONCE_PER_ACCOUNT,
                Limited::Network(_) => self.at_once_per_network,
            };
            if state
                .running
                .get(key)
                .is_some_and(|running| *running >= at_once)
            {
                return Err(TooManyAttempts { seconds: 1 });
            }
        }
        for key in &counted {
            *state.running.entry(key.clone()).or_default() += 1;
        }
        drop(state);
        Ok(Attempt {
            attempts: self.clone(),
            counted,
            network,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&self, network: IpAddr, now: Instant) -> Result<(), TooManyAttempts> {
        let Some(forgotten_at) = self.failed.get(&network) else {
            return Ok(());
        };
        let free_again = FORGOTTEN_AFTER * (FREE_PER_NETWORK - 1);
        let wait = forgotten_at
            .saturating_duration_since(now)
            .saturating_sub(free_again);
        if wait.is_zero() {
            return Ok(());
        }
        let seconds = u32::try_from(wait.as_secs())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        Err(TooManyAttempts { seconds })
    }

    fn fail(&mut self, network: IpAddr, now: Instant) {
        if self.failed.len() >= NETWORKS_MAX {
            self.failed.retain(|_, forgotten_at| *forgotten_at > now);
        }
        if self.failed.len() >= NETWORKS_MAX {
            self.failed.clear();
        }
        let forgotten_at = self.failed.entry(network).or_insert(now);
        *forgotten_at = (*forgotten_at).max(now) + FORGOTTEN_AFTER;
    }
}

impl Attempt {
    /// Notes that the password was wrong.
    pub fn failed(&self) {
        if let Some(network) = self.network {
            self.attempts.state().fail(network, Instant::now());
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let mut state = self.attempts.state();
        for key in &self.counted {
            if let Some(running) = state.running.get_mut(key) {
                *running -= 1;
                if *running == 0 {
                    state.running.remove(key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn one_account_and_one_network_have_so_many_turns_at_once() {
        let attempts = Attempts::new(4);
        let held: Vec<_> = (0..2)
            .map(|_| attempts.begin("ada", None).unwrap())
            .collect();
        assert_eq!(
            attempts.begin("ada", None).err(),
            Some(TooManyAttempts { seconds: 1 })
        );
        let others: Vec<_> = (0..4)
            .map(|n| attempts.begin(&format!("bob{n}"), Some(HERE)).unwrap())
            .collect();
        assert!(attempts.begin("cid", Some(HERE)).is_err());
        let elsewhere = "10.0.0.1".parse().ok();
        drop(attempts.begin("cid", elsewhere).unwrap());
        drop((held, others));
        drop(attempts.begin("ada", Some(HERE)).unwrap());
        assert!(
            attempts.state().running.is_empty(),
            "nothing is kept of attempts that have ended"
        );
    }

    #[test]
    fn a_network_from_which_many_fail_waits() {
        let (mut state, now) = (State::default(), Instant::now());
        for _ in 0..FREE_PER_NETWORK {
            assert_eq!(state.check(HERE, now), Ok(()));
            state.fail(HERE, now);
        }
        let refused = state.check(HERE, now).unwrap_err();
        assert!((1..=6).contains(&refused.seconds), "{refused}");
        assert_eq!(state.check("10.0.0.1".parse().unwrap(), now), Ok(()));
        let later = now + Duration::from_secs(refused.seconds.into());
        assert_eq!(state.check(HERE, later), Ok(()));
        state.fail(HERE, later);
        assert!(
            state.check(HERE, later).is_err(),
            "one more, and it waits again"
        );
    }

    #[test]
    fn failures_of_so_many_networks_are_remembered() {
        let (mut state, now) = (State::default(), Instant::now());
        for network in 0..u32::try_from(NETWORKS_MAX * 2 + 10).unwrap() {
            state.fail(IpAddr::from(network.to_be_bytes()), now);
            assert!(state.failed.len() <= NETWORKS_MAX);
        }
    }
}
