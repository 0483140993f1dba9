use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;

/// Identifies a request's content without storing it: a body can hold a password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A service's secret for fingerprints: HMAC-SHA-256 (RFC 2104).
#[derive(Clone)]
pub struct FingerprintKey(Hmac<Sha256>);

impl FingerprintKey {
    pub fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes a key of any length"))
    }

    /// Two requests have the same fingerprint if their method, path, query and JSON body are the
    /// same. The order of an object's fields and white space do not count.
    pub fn fingerprint(&self, method: &str, path: &str, query: &str, body: &Value) -> Fingerprint {
        let mut canonical = String::new();
        write_canonical(body, &mut canonical);
        let mut mac = self.0.clone();
        for part in [method, path, query, &canonical] {
            // The length keeps the parts apart.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        Fingerprint(mac.finalize().into_bytes().into())
    }
}

/// Writes JSON with the fields of every object in the order of their names.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (index, (name, value)) in fields.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(method: &str, path: &str, query: &str, body: &Value) -> Fingerprint {
        FingerprintKey::new(b"secret").fingerprint(method, path, query, body)
    }

    #[test]
    fn the_order_of_fields_does_not_count() {
        let one: Value =
            serde_json::from_str(r#"{"a": 1, "b": {"c": [1, 2], "d": null}}"#).unwrap();
        let two: Value = serde_json::from_str(r#"{"b":{"d":null,"c":[1,2]},"a":1}"#).unwrap();
        assert!(of("POST", "/x", "", &one) == of("POST", "/x", "", &two));
    }

    #[test]
    fn everything_else_counts() {
        let first = of("POST", "/x", "q=1", &json!({"a": [1, 2]}));
        for other in [
            of("PUT", "/x", "q=1", &json!({"a": [1, 2]})),
            of("POST", "/xq", "=1", &json!({"a": [1, 2]})),
            of("POST", "/x", "q=1", &json!({"a": [2, 1]})),
            of("POST", "/x", "q=1", &json!({"a": ["1", 2]})),
            FingerprintKey::new(b"other").fingerprint("POST", "/x", "q=1", &json!({"a": [1, 2]})),
        ] {
            assert!(first != other);
        }
    }
}
