use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use kernel::SessionId;
use ring::hmac;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Bytes of each secret: as many as of a SHA-256, whose output the next secret is.
const SECRET_BYTES: usize = 32;
const ID_BYTES: usize = 16;

/// How long a used token may be sent again, if its successor was not used: longer than the gateway
/// waits for an answer (30 s), after which a client may retry.
pub const GRACE: TimeDelta = TimeDelta::seconds(60);

/// A token that gives a new access token when the old one has expired: 256 random bits that all
/// tokens of a session share, and 256 bits of its own. The shared bits distinguish a used token,
/// however old, from an invented one.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken {
    session: SessionId,
    family: [u8; SECRET_BYTES],
    own: [u8; SECRET_BYTES],
}

/// The hashes of a token, which the database keeps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hashes {
    pub family: Vec<u8>,
    pub own: Vec<u8>,
}

/// The hashes of a session's tokens.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'k> {
    pub family: &'k [u8],
    /// Hash of the current token.
    pub current: &'k [u8],
    /// Hash of the one before it.
    pub previous: Option<&'k [u8]>,
    /// Time since that one was used.
    pub rotated: TimeDelta,
}

/// What a presented token is for the session that it names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presented {
    /// It is valid; the next one replaces it.
    Current,
    /// Its successor was made a moment ago, and was not used yet: the answer may have been lost.
    Again,
    /// It was used before. Two clients have it, and one of them is a thief.
    Used,
    /// It is not a token of this session.
    Foreign,
}

impl RefreshToken {
    /// Makes a token from random bits.
    pub fn new(session: SessionId, family: [u8; SECRET_BYTES], own: [u8; SECRET_BYTES]) -> Self {
        Self {
            session,
            family,
            own,
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let bytes: [u8; ID_BYTES + 2 * SECRET_BYTES] = bytes.try_into().ok()?;
        let (id, secrets) = bytes.split_first_chunk::<ID_BYTES>()?;
        let (family, own) = secrets.split_first_chunk::<SECRET_BYTES>()?;
        Some(Self {
            session: SessionId::from_uuid(Uuid::from_bytes(*id)),
            family: *family,
            own: own.try_into().ok()?,
        })
    }

    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The token as text, as its owner gets it.
    pub fn text(&self) -> String {
        let id = self.session.uuid();
        URL_SAFE_NO_PAD
            .encode([id.as_bytes(), self.family.as_slice(), self.own.as_slice()].concat())
    }

    pub fn hashes(&self) -> Hashes {
        Hashes {
            family: Sha256::digest(self.family).to_vec(),
            own: Sha256::digest(self.own).to_vec(),
        }
    }

    /// The next token. A retry gets the same one, although only its hash is kept: it is derived
    /// from the salt, which is stored, and from this token, which the client sends.
    #[must_use]
    pub fn next(&self, salt: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, salt);
        let mut own = [0; SECRET_BYTES];
        own.copy_from_slice(hmac::sign(&key, &self.own).as_ref());
        Self {
            own,
            ..self.clone()
        }
    }
}

impl Hashes {
    pub fn presented_to(&self, kept: &Kept<'_>) -> Presented {
        if self.family != kept.family {
            Presented::Foreign
        } else if self.own == kept.current {
            Presented::Current
        } else if Some(self.own.as_slice()) == kept.previous && kept.rotated <= GRACE {
            Presented::Again
        } else {
            Presented::Used
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(family: u8, own: u8) -> RefreshToken {
        RefreshToken::new(
            SessionId::from_uuid(Uuid::nil()),
            [family; SECRET_BYTES],
            [own; SECRET_BYTES],
        )
    }

    #[test]
    fn a_token_reads_back_and_is_kept_as_hashes() {
        let token = token(1, 2);
        assert!(RefreshToken::parse(&token.text()) == Some(token.clone()));
        let hashes = token.hashes();
        assert_ne!(hashes.family, token.family);
        assert_ne!(hashes.own, token.own);
    }

    #[test]
    fn a_token_is_good_until_its_successor_was_used() {
        let (first, salts) = (token(1, 2), [[3; SECRET_BYTES], [4; SECRET_BYTES]]);
        let second = first.next(&salts[0]);
        let third = second.next(&salts[1]);
        assert!(second == first.next(&salts[0]), "the same one again");
        let (one, two, three) = (first.hashes(), second.hashes(), third.hashes());
        let after_the_first = |rotated| Kept {
            family: &one.family,
            current: &two.own,
            previous: Some(&one.own),
            rotated,
        };
        let at_once = after_the_first(TimeDelta::zero());
        assert_eq!(two.presented_to(&at_once), Presented::Current);
        assert_eq!(one.presented_to(&at_once), Presented::Again);
        let later = after_the_first(GRACE + TimeDelta::seconds(1));
        assert_eq!(two.presented_to(&later), Presented::Current);
        assert_eq!(one.presented_to(&later), Presented::Used);
        let after_the_second = Kept {
            current: &three.own,
            previous: Some(&two.own),
            ..at_once
        };
        assert_eq!(one.presented_to(&after_the_second), Presented::Used);
        assert_eq!(
            token(9, 2).hashes().presented_to(&at_once),
            Presented::Foreign
        );
        assert_eq!(token(1, 9).hashes().presented_to(&at_once), Presented::Used);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = RefreshToken::parse(&text);
        }

        #[test]
        fn what_is_read_is_what_was_written(bytes in proptest::collection::vec(any::<u8>(), 80)) {
            let text = URL_SAFE_NO_PAD.encode(bytes);
            prop_assert_eq!(RefreshToken::parse(&text).map(|token| token.text()), Some(text));
        }
    }
}
