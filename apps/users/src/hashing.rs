//! The queue of password hashes: hashing costs time and memory, so that it is bounded.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Block, Params, PasswordHash, Version,
    password_hash::{self, Output, ParamsString, Salt, SaltString, rand_core::OsRng},
};
use kernel::{Class, Classify};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::domain::password::Password;

/// Hashes passwords with Argon2id, m = 19 MiB, t = 2, p = 1 (OWASP's first choice, and the crate's
/// default), a few at a time, off the threads that serve requests. Some more may wait for their
/// turn; further ones are refused at once.
pub struct PasswordHasher {
    /// Permits of those that are being hashed and of those that wait.
    queue_permits: Arc<Semaphore>,
    /// Permits of those that are being hashed.
    hash_permits: Arc<Semaphore>,
    /// A hash of no account, so that the check of an unknown address takes as long as of a known
    /// one.
    decoy: String,
}

/// Whether a password fits a hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fit {
    No,
    Yes,
    /// The hash was made of the text as it was typed; it should be replaced by one of the prepared
    /// password.
    AsTyped,
}

#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("too many passwords are being checked at the moment; try again")]
    Busy,
    #[error("the client went away before it was its turn")]
    ClientGone,
    #[error("the password cannot be hashed")]
    Hash(#[from] password_hash::Error),
    #[error("hashing was cancelled")]
    Cancelled,
}

impl Classify for PasswordError {
    fn class(&self) -> Class {
        match self {
            Self::Busy | Self::ClientGone => Class::Unavailable,
            Self::Hash(_) | Self::Cancelled => Class::Bug,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Busy | Self::ClientGone => "passwords_busy",
            Self::Hash(_) | Self::Cancelled => "internal_error",
        }
    }
}

impl PasswordHasher {
    /// Hashes `at_a_time` passwords, while up to `waiting` more wait.
    pub fn new(at_a_time: u32, waiting: u32) -> Result<Arc<Self>, PasswordError> {
        Ok(Arc::new(Self {
            queue_permits: Arc::new(Semaphore::new(at_a_time as usize + waiting as usize)),
            hash_permits: Arc::new(Semaphore::new(at_a_time as usize)),
            decoy: hash("a password that nobody has")?,
        }))
    }

    /// The password's hash in PHC form, with a salt of its own; an error if the client goes away
    /// before its turn.
    pub async fn hash(
        &self,
        password: &Password,
        client_gone: &CancellationToken,
    ) -> Result<String, PasswordError> {
        let password = password.prepared().clone();
        self.blocking(client_gone, move || hash(password.expose()))
            .await
    }

    /// Whether the password fits `known`, a hash in PHC form. With `None` the check takes as long,
    /// and the answer is no.
    pub async fn verify(
        &self,
        password: &Password,
        known: Option<String>,
        client_gone: &CancellationToken,
    ) -> Result<Fit, PasswordError> {
        let exists = known.is_some();
        let known = known.unwrap_or_else(|| self.decoy.clone());
        let password = password.clone();
        let fit = self
            .blocking(client_gone, move || fit(&password, &known))
            .await?;
        Ok(if exists { fit } else { Fit::No })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        client_gone: &CancellationToken,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let queued = self.queue_permits.clone().try_acquire_owned();
        let queued = queued.map_err(|_| PasswordError::Busy)?;
        let acquire = self.hash_permits.clone().acquire_owned();
        let permit = tokio::select! {
            biased;
            () = client_gone.cancelled() => return Err(PasswordError::ClientGone),
            permit = acquire => permit.map_err(|_| PasswordError::Cancelled)?,
        };
        let job = move || {
            let _permits = (queued, permit);
            work()
        };
        tokio::task::spawn_blocking(job)
            .await
            .map_err(|_| PasswordError::Cancelled)?
    }
}

fn fit(password: &Password, known: &str) -> Result<Fit, PasswordError> {
    if verify(password.prepared().expose(), known)? {
        return Ok(Fit::Yes);
    }
    match password.as_typed() {
        Some(typed) if verify(typed.expose(), known)? => Ok(Fit::AsTyped),
        _ => Ok(Fit::No),
    }
}

/// The password's hash in PHC form, with a salt of its own.
fn hash(password: &str) -> Result<String, PasswordError> {
    let argon2 = Argon2::default();
    let salt = SaltString::generate(&mut OsRng);
    let hash = PasswordHash {
        algorithm: Algorithm::default().ident(),
        version: Some(Version::default().into()),
        params: ParamsString::try_from(argon2.params())?,
        salt: Some(salt.as_salt()),
        hash: Some(digest(&argon2, password, salt.as_salt())?),
    };
    Ok(hash.to_string())
}

/// Verifies with the parameters of `known`, which may be older than today's.
fn verify(password: &str, known: &str) -> Result<bool, PasswordError> {
    let known = PasswordHash::new(known)?;
    let (Some(salt), Some(hash)) = (known.salt, known.hash) else {
        return Err(password_hash::Error::PhcStringField.into());
    };
    let version = known.version.map(Version::try_from).transpose();
    let argon2 = Argon2::new(
        Algorithm::try_from(known.algorithm)?,
        version
            .map_err(password_hash::Error::from)?
            .unwrap_or_default(),
        Params::try_from(&known)?,
    );
    // The comparison takes the same time whatever differs.
    Ok(digest(&argon2, password, salt)? == hash)
}

/// Blocks that are allocated at least: glibc maps more than 32 MiB separately, and gives them back
/// to the system when they are dropped, while a smaller allocation stays in the heap. Only pages
/// that are written to count as memory.
const ALLOCATED_BLOCKS_MIN: usize = (33 << 20) / size_of::<Block>();

fn digest(argon2: &Argon2, password: &str, salt: Salt) -> Result<Output, PasswordError> {
    let blocks = argon2.params().block_count();
    let mut memory = Vec::with_capacity(blocks.max(ALLOCATED_BLOCKS_MIN));
    memory.resize(blocks, Block::default());
    let mut decoded = [0; Salt::MAX_LENGTH];
    let salt = salt.decode_b64(&mut decoded)?;
    let output = Output::init_with(Params::DEFAULT_OUTPUT_LEN, |out| {
        Ok(argon2.hash_password_into_with_memory(password.as_bytes(), salt, out, &mut memory)?)
    });
    Ok(output?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn typed(text: &str) -> Password {
        Password::typed(text)
    }

    #[tokio::test]
    async fn a_hash_fits_its_password_only() {
        let (hasher, here) = (PasswordHasher::new(1, 1).unwrap(), CancellationToken::new());
        let hash = hasher.hash(&typed("correct horse"), &here).await.unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        let fit = async |text, known| hasher.verify(&typed(text), known, &here).await.unwrap();
        assert_eq!(fit("correct horse", Some(hash.clone())).await, Fit::Yes);
        assert_eq!(
            fit("correct\u{a0}horse", Some(hash.clone())).await,
            Fit::Yes
        );
        assert_eq!(fit("wrong horse", Some(hash)).await, Fit::No);
        assert_eq!(fit("a password that nobody has", None).await, Fit::No);
    }

    #[tokio::test]
    async fn a_hash_of_what_was_typed_fits_until_it_is_renewed() {
        let (hasher, here) = (PasswordHasher::new(1, 1).unwrap(), CancellationToken::new());
        let old = hash("correct\u{a0}horse").unwrap();
        let fit = async |text| {
            hasher
                .verify(&typed(text), Some(old.clone()), &here)
                .await
                .unwrap()
        };
        assert_eq!(fit("correct\u{a0}horse").await, Fit::AsTyped);
        assert_eq!(fit("correct horse").await, Fit::No);
    }

    #[tokio::test]
    async fn who_finds_no_place_to_wait_is_sent_away_at_once() {
        let (hasher, here) = (PasswordHasher::new(1, 2).unwrap(), CancellationToken::new());
        let password = typed("correct horse");
        let results = (0..10).map(|_| hasher.hash(&password, &here));
        let results = futures_util::future::join_all(results).await;
        let busy = results
            .iter()
            .filter(|result| matches!(result, Err(PasswordError::Busy)));
        assert_eq!(busy.count(), 7);
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3);
        hasher.hash(&password, &here).await.unwrap();
    }

    #[tokio::test]
    async fn nothing_is_hashed_for_who_has_left() {
        let hasher = PasswordHasher::new(1, 10).unwrap();
        let held = hasher.hash_permits.clone().acquire_owned().await.unwrap();
        let (here, gone) = (CancellationToken::new(), CancellationToken::new());
        let password = typed("correct horse");
        let mut waits = Box::pin(hasher.hash(&password, &gone));
        assert!(
            tokio::time::timeout(Duration::from_millis(50), &mut waits)
                .await
                .is_err()
        );
        gone.cancel();
        let answer = tokio::time::timeout(Duration::from_secs(5), waits)
            .await
            .unwrap();
        assert!(matches!(answer, Err(PasswordError::ClientGone)));
        // A dropped future gives its permit back, too.
        let mut waits = Box::pin(hasher.hash(&password, &here));
        assert!(
            tokio::time::timeout(Duration::from_millis(50), &mut waits)
                .await
                .is_err()
        );
        drop(waits);
        assert_eq!(hasher.queue_permits.available_permits(), 11);
        drop(held);
        assert!(matches!(
            hasher.hash(&password, &gone).await,
            Err(PasswordError::ClientGone)
        ));
        hasher.hash(&password, &here).await.unwrap();
    }
}
