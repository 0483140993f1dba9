use kernel::shown;
use sha2::{Digest, Sha256};

/// Bounds an ordinary key, in bytes. A PostgreSQL index takes at most 2704 bytes of a row.
const ORDINARY_KEY_BYTES_MAX: usize = 512;
/// The first character of the names of all other keys. An ordinary key does not begin with it.
const NAME_MARK: char = '\\';
/// Bounds the readable part of such a name, in characters.
const NAME_SHOWN_CHARS_MAX: usize = 80;

/// A message's key: any bytes, as Kafka allows them, and a name for them: a text that can be
/// stored, indexed and printed.
///
/// An ordinary key is its own name. The name of any other key contains its SHA-256, so that no two
/// keys share a name, and ends with what can be printed of the key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    name: String,
    /// `None` if the key is its own name.
    bytes: Option<Vec<u8>>,
}

impl Key {
    pub fn new(bytes: &[u8]) -> Self {
        if let Ok(text) = std::str::from_utf8(bytes)
            && bytes.len() <= ORDINARY_KEY_BYTES_MAX
            && !text.starts_with(NAME_MARK)
            && shown(bytes, ORDINARY_KEY_BYTES_MAX) == text
        {
            return Self::stored(text.to_owned(), None);
        }
        let hash = Sha256::digest(bytes);
        Self {
            name: format!("{NAME_MARK}{hash:x} {}", shown(bytes, NAME_SHOWN_CHARS_MAX)),
            bytes: Some(bytes.to_vec()),
        }
    }

    /// A key as it was stored: its name, and its bytes if the name is not the key itself.
    pub(crate) fn stored(name: String, bytes: Option<Vec<u8>>) -> Self {
        Self { name, bytes }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or(self.name.as_bytes())
    }

    /// The key's bytes, if it is not its own name.
    pub(crate) fn other_bytes(&self) -> Option<&[u8]> {
        self.bytes.as_deref()
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_key_is_its_own_name() {
        for text in [
            "0197a1b2-0000-7000-8000-000000000001",
            "",
            "a key",
            &"k".repeat(ORDINARY_KEY_BYTES_MAX),
        ] {
            let key = Key::from(text);
            assert_eq!(
                (key.name(), key.bytes(), key.other_bytes()),
                (text, text.as_bytes(), None)
            );
        }
    }

    #[test]
    fn any_other_key_has_a_short_name_of_its_own() {
        let forged = Key::new(b"a\0b").name().to_owned();
        let keys: Vec<Vec<u8>> = [
            &b"a\0b"[..],
            b"a\0c",
            b"\xff",
            b"\x1b[2J",
            b"a\nb",
            b"\\",
            forged.as_bytes(),
        ]
        .map(<[u8]>::to_vec)
        .into_iter()
        .chain([
            vec![b'k'; ORDINARY_KEY_BYTES_MAX + 1],
            vec![b'k'; ORDINARY_KEY_BYTES_MAX + 2],
            vec![0; 1 << 20],
        ])
        .collect();
        let mut names: Vec<String> = keys
            .iter()
            .map(|bytes| {
                let key = Key::new(bytes);
                assert_eq!(key.bytes(), bytes);
                assert_eq!(key.other_bytes(), Some(&bytes[..]));
                assert!(
                    key.name().len() < 500 && !key.name().contains(char::is_control),
                    "{}",
                    key.name()
                );
                key.name().to_owned()
            })
            .collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), keys.len());
    }
}
