use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use kernel::{Class, Classify};

/// Who may have a password hashed: so many at the same time for one account, so many for one
/// network, and none for a network from which many failed. Of this process alone, and cheap: most
/// of a flood ends here.
pub struct Turns {
    state: Mutex<State>,
    at_once_per_network: u32,
}

/// Passwords that are checked at the same time for one account.
const AT_ONCE_PER_ACCOUNT: u32 = 2;
/// Failures that a network has free, and how long it takes until one of them is forgotten.
const FREE_PER_NETWORK: u32 = 50;
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5);
/// Networks whose failures are remembered; beyond it all begin anew.
const NETWORKS: usize = 50_000;

#[derive(Default)]
struct State {
    at_work: HashMap<Whose, u32>,
    /// When a network's failures are all forgotten.
    failed: HashMap<IpAddr, Instant>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Whose {
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

/// Ends when it is dropped.
#[must_use]
pub struct Turn {
    turns: Arc<Turns>,
    whose: Vec<Whose>,
    network: Option<IpAddr>,
}

impl Turns {
    pub fn new(at_once_per_network: u32) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            at_once_per_network: at_once_per_network.max(1),
        })
    }

    pub fn take(
        self: &Arc<Self>,
        account: &str,
        network: Option<IpAddr>,
    ) -> Result<Turn, TooManyAttempts> {
        let whose: Vec<_> = [Whose::Account(account.to_owned())]
            .into_iter()
            .chain(network.map(Whose::Network))
            .collect();
        let mut state = self.state();
        if let Some(network) = network {
            state.check(network, Instant::now())?;
        }
        for one in &whose {
            let at_once = match one {
                Whose::Account(_) => AT_ONCE_PER_ACCOUNT,
                Whose::Network(_) => self.at_once_per_network,
            };
            if state
                .at_work
                .get(one)
                .is_some_and(|at_work| *at_work >= at_once)
            {
                return Err(TooManyAttempts { seconds: 1 });
            }
        }
        for one in &whose {
            *state.at_work.entry(one.clone()).or_default() += 1;
        }
        drop(state);
        Ok(Turn {
            turns: self.clone(),
            whose,
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
        if self.failed.len() >= NETWORKS {
            self.failed.retain(|_, forgotten_at| *forgotten_at > now);
        }
        if self.failed.len() >= NETWORKS {
            self.failed.clear();
        }
        let forgotten_at = self.failed.entry(network).or_insert(now);
        *forgotten_at = (*forgotten_at).max(now) + FORGOTTEN_AFTER;
    }
}

impl Turn {
    /// The password was wrong.
    pub fn failed(&self) {
        if let Some(network) = self.network {
            self.turns.state().fail(network, Instant::now());
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        for one in &self.whose {
            if let Some(at_work) = state.at_work.get_mut(one) {
                *at_work -= 1;
                if *at_work == 0 {
                    state.at_work.remove(one);
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
        let turns = Turns::new(4);
        let held: Vec<_> = (0..2).map(|_| turns.take("ada", None).unwrap()).collect();
        assert_eq!(
            turns.take("ada", None).err(),
            Some(TooManyAttempts { seconds: 1 })
        );
        let others: Vec<_> = (0..4)
            .map(|n| turns.take(&format!("bob{n}"), Some(HERE)).unwrap())
            .collect();
        assert!(turns.take("cid", Some(HERE)).is_err());
        let elsewhere = "10.0.0.1".parse().ok();
        drop(turns.take("cid", elsewhere).unwrap());
        drop((held, others));
        drop(turns.take("ada", Some(HERE)).unwrap());
        assert!(
            turns.state().at_work.is_empty(),
            "nothing is kept of who is not at work"
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
        for network in 0..u32::try_from(NETWORKS * 2 + 10).unwrap() {
            state.fail(IpAddr::from(network.to_be_bytes()), now);
            assert!(state.failed.len() <= NETWORKS);
        }
    }
}
