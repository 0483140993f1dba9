use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// When token keys come and go.
#[derive(Clone, Copy, Debug)]
pub struct KeyPolicy {
    /// Age of a key at which a new one is made.
    pub lifetime: TimeDelta,
    /// Time for which a new key is published before it signs, so that every verifier has it by
    /// then.
    pub ahead: TimeDelta,
    /// Time for which a token is valid.
    pub token_lifetime: TimeDelta,
}

/// Difference between the clocks of two replicas at most.
const CLOCK_SKEW_MAX: TimeDelta = TimeDelta::seconds(10);

impl KeyPolicy {
    /// Interval at which a replica reads which key signs. Until then it signs with the key before,
    /// also with a revoked one.
    pub fn poll_interval(&self) -> Duration {
        let ahead = self.ahead.to_std().unwrap_or_default();
        (ahead / 10).clamp(Duration::from_millis(100), Duration::from_secs(5))
    }

    /// How long a key stays published after another one has taken over: as long as the last token
    /// that it signed is valid.
    fn stays(&self) -> TimeDelta {
        // A poll may take as long as the pause before it.
        let polls = TimeDelta::from_std(self.poll_interval() * 2).unwrap_or_default();
        self.token_lifetime + polls + CLOCK_SKEW_MAX
    }
}

/// What should be done with keys, as indices into their list.
#[derive(PartialEq, Eq, Debug)]
pub struct Plan {
    /// The key that signs.
    pub signs: usize,
    pub is_new_one_due: bool,
    /// Keys that signed no token that is still valid.
    pub over: Vec<usize>,
}

/// Plans for keys that were made at these times, the newest first; `None` without keys. A key stays
/// for as long as a token that it signed is valid, so that no user is logged out.
pub fn plan(made_at: &[DateTime<Utc>], now: DateTime<Utc>, policy: &KeyPolicy) -> Option<Plan> {
    let newest = *made_at.first()?;
    let published = made_at
        .iter()
        .position(|made_at| *made_at + policy.ahead <= now);
    // At the first start there is only one key, which signs at once.
    let signs = published.unwrap_or(made_at.len() - 1);
    // The last token of a key was signed when each replica had seen that the next key took over.
    let over = (1..made_at.len()).filter(|key| {
        let next_signs_since = made_at[key - 1] + policy.ahead;
        next_signs_since + policy.stays() < now
    });
    Some(Plan {
        signs,
        is_new_one_due: newest + policy.lifetime <= now,
        over: over.collect(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: KeyPolicy = KeyPolicy {
        lifetime: TimeDelta::seconds(1000),
        ahead: TimeDelta::seconds(100),
        token_lifetime: TimeDelta::seconds(60),
    };

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    #[test]
    fn the_first_key_signs_at_once() {
        let plan = plan(&[at(0)], at(0), &POLICY).unwrap();
        assert_eq!(
            (plan.signs, plan.is_new_one_due, plan.over),
            (0, false, vec![])
        );
    }

    #[test]
    fn a_new_key_is_shown_before_it_signs_and_the_old_one_stays_as_long_as_its_tokens() {
        assert!(plan(&[at(0)], at(1000), &POLICY).unwrap().is_new_one_due);
        let keys = [at(1000), at(0)];
        assert_eq!(plan(&keys, at(1099), &POLICY).unwrap().signs, 1);
        assert_eq!(plan(&keys, at(1100), &POLICY).unwrap().signs, 0);
        // Its tokens last 60 s; it was seen 5 s late, twice, by a clock that is 10 s off.
        assert_eq!(
            plan(&keys, at(1180), &POLICY).unwrap().over,
            Vec::<usize>::new()
        );
        assert_eq!(plan(&keys, at(1181), &POLICY).unwrap().over, [1]);
    }

    #[test]
    fn keys_that_follow_each_other_fast_are_over_one_by_one() {
        let policy = KeyPolicy {
            lifetime: TimeDelta::seconds(10),
            ahead: TimeDelta::seconds(5),
            token_lifetime: TimeDelta::seconds(60),
        };
        let keys: Vec<_> = (0..=10).rev().map(|number| at(number * 10)).collect();
        // The key of 20 took over at 25, and its forerunner's last token is valid until 96.
        assert_eq!(plan(&keys, at(100), &policy).unwrap().over, [9, 10]);
    }

    proptest! {
        /// At any time, the key of every valid token is still published: also the key of a replica
        /// that polls as late as it may, by a clock that is as wrong as it may be.
        #[test]
        fn nobody_is_logged_out(
            steps in prop::collection::vec((1..40_i64, 0..3_usize), 1..400),
            clocks in prop::array::uniform3(-5..=5_i64),
        ) {
            let every = i64::try_from(POLICY.poll_interval().as_secs()).unwrap();
            let (mut now, mut keys, mut tokens) = (0, vec![at(0)], Vec::new());
            // Of three replicas: the key by which each signs.
            let mut signs = [(at(0), i64::MIN); 3];
            for (step, who) in steps {
                for _ in 0..step {
                    now += 1;
                    for replica in 0..3 {
                        let (_, looked) = signs[replica];
                        let clock = at(now + clocks[replica]);
                        if now.saturating_sub(looked) < every + 1 {
                            continue;
                        }
                        let plan = plan(&keys, clock, &POLICY).unwrap();
                        signs[replica] = (keys[plan.signs], now);
                        let indexed = keys.iter().enumerate();
                        let kept = indexed.filter(|(i, _)| !plan.over.contains(i));
                        let mut kept: Vec<_> = kept.map(|(_, key)| *key).collect();
                        if plan.is_new_one_due {
                            kept.insert(0, clock);
                        }
                        keys = kept;
                    }
                    tokens.push((signs[who].0, now + 60));
                    tokens.retain(|(_, ends)| *ends > now);
                    prop_assert!(tokens.iter().all(|(key, _)| keys.contains(key)));
                    prop_assert!(keys.len() <= 3);
                }
            }
        }
    }
}
