use connect::Secret;
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    error::Unspecified,
    hkdf::{HKDF_SHA256, Salt},
    rand::{SecureRandom, SystemRandom},
};

/// Encrypts the private parts of token keys (AES-256-GCM), under a secret that is not in the
/// database. The ciphertext is bound to the key's id: it cannot be decrypted under another one.
pub struct Seal {
    current: LessSafeKey,
    /// From the former secret, while it is being replaced.
    former: Option<LessSafeKey>,
}

/// A decrypted private part.
pub struct Opened {
    pub private: Vec<u8>,
    /// Whether it was encrypted under the former secret.
    pub is_former: bool,
}

impl Seal {
    pub fn new(secret: &Secret, former: Option<&Secret>) -> Result<Self, Unspecified> {
        Ok(Self {
            current: key_of(secret)?,
            former: former.map(key_of).transpose()?,
        })
    }

    /// Encrypts a private part; returns the nonce and the ciphertext.
    pub fn seal(&self, kid: &str, private: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce)?;
        let mut sealed = private.to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        self.current
            .seal_in_place_append_tag(unique, Aad::from(kid), &mut sealed)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Decrypts a private part; `None` if it was encrypted under neither secret.
    pub fn open(&self, kid: &str, sealed: &[u8]) -> Option<Opened> {
        let of = |key, is_former| {
            let private = open(key, kid, sealed)?;
            Some(Opened { private, is_former })
        };
        of(&self.current, false).or_else(|| of(self.former.as_ref()?, true))
    }
}

fn key_of(secret: &Secret) -> Result<LessSafeKey, Unspecified> {
    let salt = Salt::new(HKDF_SHA256, b"tovar token keys");
    let secret = salt.extract(secret.expose().as_bytes());
    let key = secret.expand(&[b"AES-256-GCM"], &AES_256_GCM)?;
    Ok(LessSafeKey::new(UnboundKey::from(key)))
}

fn open(key: &LessSafeKey, kid: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut sealed = sealed.to_vec();
    let private = key.open_in_place(nonce, Aad::from(kid), &mut sealed).ok()?;
    Some(private.to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(secret: &str, former: Option<&str>) -> Seal {
        Seal::new(&Secret::new(secret), former.map(Secret::new).as_ref()).unwrap()
    }

    #[test]
    fn only_the_secret_and_the_name_that_it_was_sealed_under_open_it() {
        let sealed = of("one", None).seal("kid", b"private").unwrap();
        assert!(!sealed.windows(7).any(|bytes| bytes == b"private"));
        let open = |seal: &Seal, kid| {
            seal.open(kid, &sealed)
                .map(|opened| (opened.private, opened.is_former))
        };
        assert_eq!(
            open(&of("one", None), "kid"),
            Some((b"private".to_vec(), false))
        );
        assert_eq!(
            open(&of("two", Some("one")), "kid"),
            Some((b"private".to_vec(), true))
        );
        assert_eq!(open(&of("two", None), "kid"), None);
        assert_eq!(open(&of("two", Some("three")), "kid"), None);
        assert_eq!(open(&of("one", None), "another"), None);
        let again = of("one", None).seal("kid", b"private").unwrap();
        assert_ne!(sealed, again, "each has a nonce of its own");
    }

    proptest! {
        #[test]
        fn what_was_changed_does_not_open(at in 0..35_usize, bit in 0..8_u8) {
            let seal = of("one", None);
            let mut sealed = seal.seal("kid", b"private").unwrap();
            prop_assert_eq!(sealed.len(), 35);
            sealed[at] ^= 1 << bit;
            prop_assert!(seal.open("kid", &sealed).is_none());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(of("one", Some("two")).open("kid", &bytes).is_none());
        }
    }
}
