use std::sync::Arc;

use argon2::{
    Argon2, PasswordHash, PasswordHasher, PasswordVerifier,
    password_hash::{self, SaltString, rand_core::OsRng},
};
use connect::Secret;
use kernel::{Class, Classify};
use tokio::sync::Semaphore;

/// Hashes passwords with Argon2id, m = 19 MiB, t = 2, p = 1 (OWASP's first choice, and the crate's default), a few
/// at a time, off the threads that serve requests.
pub struct Passwords {
    room: Arc<Semaphore>,
    /// What an unknown address is checked against, so that it takes as long as a known one.
    nobody: String,
}

#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("the password cannot be hashed")]
    Hash(password_hash::Error),
    #[error("hashing was cut off")]
    CutOff,
}

impl Classify for PasswordError {
    fn class(&self) -> Class {
        Class::Bug
    }
    fn code(&self) -> &'static str {
        "internal_error"
    }
}

impl Passwords {
    pub fn new(at_a_time: u32) -> Result<Self, PasswordError> {
        let nobody = hash("a password that nobody has")?;
        Ok(Self {
            room: Arc::new(Semaphore::new(at_a_time as usize)),
            nobody,
        })
    }

    /// The password's hash in PHC form, with its own salt.
    pub async fn hash(&self, password: Secret) -> Result<String, PasswordError> {
        self.blocking(move || hash(password.expose())).await
    }

    /// Whether the password fits `known`, a hash in PHC form. `None` takes as long and fits nothing.
    pub async fn verify(&self, password: Secret, known: Option<String>) -> Result<bool, PasswordError> {
        let exists = known.is_some();
        let known = known.unwrap_or_else(|| self.nobody.clone());
        let fits = self.blocking(move || verify(password.expose(), &known)).await?;
        Ok(fits && exists)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let room = self
            .room
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| PasswordError::CutOff)?;
        let job = move || {
            let _room = room;
            work()
        };
        tokio::task::spawn_blocking(job)
            .await
            .map_err(|_| PasswordError::CutOff)?
    }
}

fn hash(password: &str) -> Result<String, PasswordError> {
    let salt = SaltString::generate(&mut OsRng);
    let hash = Argon2::default()
        .hash_password(password.as_bytes(), &salt)
        .map_err(PasswordError::Hash)?;
    Ok(hash.to_string())
}

fn verify(password: &str, known: &str) -> Result<bool, PasswordError> {
    let known = PasswordHash::new(known).map_err(PasswordError::Hash)?;
    match Argon2::default().verify_password(password.as_bytes(), &known) {
        Ok(()) => Ok(true),
        Err(password_hash::Error::Password) => Ok(false),
        Err(error) => Err(PasswordError::Hash(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_fits_its_password_only() {
        let passwords = Passwords::new(1).unwrap();
        let hash = passwords.hash(Secret::new("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(
            passwords
                .verify(Secret::new("correct horse"), Some(hash.clone()))
                .await
                .unwrap()
        );
        assert!(
            !passwords
                .verify(Secret::new("wrong horse"), Some(hash))
                .await
                .unwrap()
        );
        assert!(
            !passwords
                .verify(Secret::new("a password that nobody has"), None)
                .await
                .unwrap()
        );
    }
}
