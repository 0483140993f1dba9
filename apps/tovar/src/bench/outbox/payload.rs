use rand::{Rng, distr::Alphanumeric, rngs::StdRng};
use uuid::Uuid;

/// Approximate size of an event's JSON, in bytes.
pub const BYTES: usize = 1024;

/// The JSON of an order. Its field names repeat from event to event and compress well; its values
/// are random and do not.
pub fn payload(random: &mut StdRng) -> String {
    let word = |random: &mut StdRng, length: usize| -> String {
        random
            .sample_iter(Alphanumeric)
            .take(length)
            .map(char::from)
            .collect()
    };
    let mut json = format!(
        "{{\"order_id\":\"{}\",\"customer_id\":\"{}\",\
         \"placed_at\":\"2026-0{}-{:02}T{:02}:{:02}:{:02}.{:06}Z\",\
         \"zone\":\"zone-{}\",\"slot_id\":\"{}\",\"lines\":[",
        uuid(random),
        uuid(random),
        random.random_range(1..10),
        random.random_range(1..29),
        random.random_range(0..24),
        random.random_range(0..60),
        random.random_range(0..60),
        random.random_range(0..1_000_000),
        random.random_range(1..100),
        uuid(random),
    );
    while json.len() < BYTES - 140 {
        json.push_str(&format!(
            r#"{{"sku":"{}-{}","quantity":{},"price":"{}.{:02}"}},"#,
            word(random, 6),
            random.random_range(100..1000),
            random.random_range(1..9),
            random.random_range(1..400),
            random.random_range(0..100),
        ));
    }
    json.pop();
    let left = BYTES.saturating_sub(json.len() + 12);
    json.push_str(&format!(r#"],"note":"{}"}}"#, word(random, left)));
    json
}

fn uuid(random: &mut StdRng) -> Uuid {
    uuid::Builder::from_random_bytes(random.random()).into_uuid()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_payload_is_json_of_a_kilobyte() {
        let mut random = StdRng::seed_from_u64(1);
        for _ in 0..100 {
            let payload = payload(&mut random);
            assert!((1000..1100).contains(&payload.len()), "{}", payload.len());
            serde_json::from_str::<serde_json::Value>(&payload).unwrap();
        }
    }
}
