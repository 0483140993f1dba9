use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Block, Params, PasswordHash, Version,
    password_hash::{self, Output, ParamsString, Salt, SaltString, rand_core::OsRng},
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
    Hash(#[from] password_hash::Error),
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
    pub fn new(at_a_time: u32) -> Result<Arc<Self>, PasswordError> {
        Ok(Arc::new(Self {
            room: Arc::new(Semaphore::new(at_a_time as usize)),
            nobody: hash("a password that nobody has")?,
        }))
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
        version.map_err(password_hash::Error::from)?.unwrap_or_default(),
        Params::try_from(&known)?,
    );
    // The comparison takes as long whatever differs.
    Ok(digest(&argon2, password, salt)? == hash)
}

/// What glibc always maps by itself, and gives back to the system when it is dropped: more than 32 MiB. What is smaller stays in
/// the heap for ever once it was used. Only what is written to counts as memory.
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
