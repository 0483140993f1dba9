use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{IdempotencyError, IdempotencyKey};

/// The keys whose requests this process works on. It serves work that is done before the request's
/// transaction: of several requests with one key only one does it. Two processes may both do it;
/// then the transaction of one of them is refused.
#[derive(Clone, Default)]
pub struct Claims(Arc<Mutex<HashSet<Claimed>>>);

/// A caller and a key of this caller.
type Claimed = (String, IdempotencyKey);

/// A claim on a key, until it is dropped.
#[must_use]
pub struct Claim {
    claims: Claims,
    claimed: Claimed,
}

impl Claims {
    /// # Errors
    /// [`IdempotencyError::InProgress`] while another request of the caller has a claim on the key.
    pub fn take(&self, caller: String, key: IdempotencyKey) -> Result<Claim, IdempotencyError> {
        let claimed = (caller, key);
        if !self.in_work().insert(claimed.clone()) {
            return Err(IdempotencyError::InProgress);
        }
        Ok(Claim {
            claims: self.clone(),
            claimed,
        })
    }

    fn in_work(&self) -> MutexGuard<'_, HashSet<Claimed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.in_work().remove(&self.claimed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_claimed_once_until_its_request_is_done() {
        let (claims, key) = (
            Claims::default(),
            "a-key".parse::<IdempotencyKey>().unwrap(),
        );
        let take = |caller: &str| claims.take(caller.to_owned(), key.clone());
        let first = take("ada").unwrap();
        assert!(matches!(take("ada"), Err(IdempotencyError::InProgress)));
        let _other_caller = take("bob").unwrap();
        drop(first);
        let _again = take("ada").unwrap();
    }
}
