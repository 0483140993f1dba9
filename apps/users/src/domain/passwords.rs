use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Block, Params, PasswordHash, Version,
    password_hash::{self, Output, ParamsString, Salt, SaltString, rand_core::OsRng},
};
use kernel::{Class, Classify};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::password::Password;

/// Hashes passwords with Argon2id, m = 19 MiB, t = 2, p = 1 (OWASP's first choice, and the crate's
/// default), a few at a time, off the threads that serve requests. Some more may wait for their
/// turn; the others are sent away at once.
pub struct Passwords {
    /// Of those that are hashed, and of those that wait.
    places: Arc<Semaphore>,
    room: Arc<Semaphore>,
    /// What an unknown address is checked against, so that it takes as long as a known one.
    nobody: String,
}

/// How a password fits a hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fit {
    No,
    Yes,
    /// The hash is of the text as it was typed, and should become one of the prepared password.
    AsTyped,
}

#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("too many passwords are being checked at the moment; try again")]
    Busy,
    #[error("the client went away before it was its turn")]
    Left,
    #[error("the password cannot be hashed")]
    Hash(#[from] password_hash::Error),
    #[error("hashing was cut off")]
    CutOff,
}

impl Classify for PasswordError {
    fn class(&self) -> Class {
        match self {
            Self::Busy | Self::Left => Class::Unavailable,
            Self::Hash(_) | Self::CutOff => Class::Bug,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Busy | Self::Left => "passwords_busy",
            Self::Hash(_) | Self::CutOff => "internal_error",
        }
    }
}

impl Passwords {
    /// Hashes so many at a time, while so many wait.
    pub fn new(at_a_time: u32, waiting: u32) -> Result<Arc<Self>, PasswordError> {
        Ok(Arc::new(Self {
            places: Arc::new(Semaphore::new(at_a_time as usize + waiting as usize)),
            room: Arc::new(Semaphore::new(at_a_time as usize)),
            nobody: hash("a password that nobody has")?,
        }))
    }

    /// The password's hash in PHC form, with its own salt; none if the client has `left` before it
    /// is its turn.
    pub async fn hash(
        &self,
        password: &Password,
        left: &CancellationToken,
    ) -> Result<String, PasswordError> {
        let password = password.prepared().clone();
        self.blocking(left, move || hash(password.expose())).await
    }

    /// Whether the password fits `known`, a hash in PHC form. `None` takes as long and fits
    /// nothing.
    pub async fn verify(
        &self,
        password: &Password,
        known: Option<String>,
        left: &CancellationToken,
    ) -> Result<Fit, PasswordError> {
        let exists = known.is_some();
        let known = known.unwrap_or_else(|| self.nobody.clone());
        let password = password.clone();
        let fit = self.blocking(left, move || fit(&password, &known)).await?;
        Ok(if exists { fit } else { Fit::No })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        left: &CancellationToken,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let place = self.places.clone().try_acquire_owned();
        let place = place.map_err(|_| PasswordError::Busy)?;
        let room = tokio::select! {
            biased;
            () = left.cancelled() => return Err(PasswordError::Left),
            room = self.room.clone().acquire_owned() => room.map_err(|_| PasswordError::CutOff)?,
        };
        let job = move || {
            let _held = (place, room);
            work()
        };
        tokio::task::spawn_blocking(job)
            .await
            .map_err(|_| PasswordError::CutOff)?
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

/// With the parameters under which `known` was made, which may be older ones.
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
    // The comparison takes as long whatever differs.
    Ok(digest(&argon2, password, salt)? == hash)
}

/// What glibc always maps by itself, and gives back to the system when it is dropped: more than 32
/// MiB. What is smaller stays in the heap for ever once it was used. Only what is written to counts
/// as memory.
const GIVEN_BACK: usize = (33 << 20) / size_of::<Block>();

fn digest(argon2: &Argon2, password: &str, salt: Salt) -> Result<Output, PasswordError> {
    let blocks = argon2.params().block_count();
    let mut memory = Vec::with_capacity(blocks.max(GIVEN_BACK));
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
        let (passwords, here) = (Passwords::new(1, 1).unwrap(), CancellationToken::new());
        let hash = passwords
            .hash(&typed("correct horse"), &here)
            .await
            .unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        let fit = async |text, known| passwords.verify(&typed(text), known, &here).await.unwrap();
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
        let (passwords, here) = (Passwords::new(1, 1).unwrap(), CancellationToken::new());
        let old = hash("correct\u{a0}horse").unwrap();
        let fit = async |text| {
            passwords
                .verify(&typed(text), Some(old.clone()), &here)
                .await
                .unwrap()
        };
        assert_eq!(fit("correct\u{a0}horse").await, Fit::AsTyped);
        assert_eq!(fit("correct horse").await, Fit::No);
    }

    #[tokio::test]
    async fn who_finds_no_place_to_wait_is_sent_away_at_once() {
        let (passwords, here) = (Passwords::new(1, 2).unwrap(), CancellationToken::new());
        let password = typed("correct horse");
        let hashes = (0..10).map(|_| passwords.hash(&password, &here));
        let hashes = futures_util::future::join_all(hashes).await;
        let busy = hashes
            .iter()
            .filter(|hash| matches!(hash, Err(PasswordError::Busy)));
        assert_eq!(busy.count(), 7);
        assert_eq!(hashes.iter().filter(|hash| hash.is_ok()).count(), 3);
        passwords.hash(&password, &here).await.unwrap();
    }

    #[tokio::test]
    async fn nothing_is_hashed_for_who_has_left() {
        let passwords = Passwords::new(1, 10).unwrap();
        let held = passwords.room.clone().acquire_owned().await.unwrap();
        let (here, left) = (CancellationToken::new(), CancellationToken::new());
        let password = typed("correct horse");
        let mut waits = Box::pin(passwords.hash(&password, &left));
        assert!(
            tokio::time::timeout(Duration::from_millis(50), &mut waits)
                .await
                .is_err()
        );
        left.cancel();
        let told = tokio::time::timeout(Duration::from_secs(5), waits)
            .await
            .unwrap();
        assert!(matches!(told, Err(PasswordError::Left)));
        // One that is dropped gives its place back, too.
        let mut waits = Box::pin(passwords.hash(&password, &here));
        assert!(
            tokio::time::timeout(Duration::from_millis(50), &mut waits)
                .await
                .is_err()
        );
        drop(waits);
        assert_eq!(passwords.places.available_permits(), 11);
        drop(held);
        assert!(matches!(
            passwords.hash(&password, &left).await,
            Err(PasswordError::Left)
        ));
        passwords.hash(&password, &here).await.unwrap();
    }
}
