//! How far back an outbox has all published events.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use outbox::log::{BUCKET_SECONDS, BUCKETS};

/// Bounds the time between a row's timestamp and its insertion into a bucket.
const INSERT_DELAY_MAX: TimeDelta = TimeDelta::seconds(1);
/// The position of the first row of an outbox, unless that was rolled back.
const FIRST_POSITION: i64 = 1;

/// Since when each bucket has all of its rows. A bucket is emptied as a whole, so the rows after a
/// row that is there are there too; and the oldest bucket is emptied first.
#[derive(Default)]
pub struct Retained {
    oldest: HashMap<i64, DateTime<Utc>>,
    has_first: bool,
}

impl Retained {
    /// Adds a row that the outbox has.
    pub fn add(&mut self, position: i64, recorded_at: DateTime<Utc>) {
        self.has_first |= position == FIRST_POSITION;
        let oldest = self
            .oldest
            .entry(bucket(recorded_at))
            .or_insert(recorded_at);
        *oldest = recorded_at.min(*oldest);
    }

    /// Whether the outbox would still have a row of this time.
    pub fn reaches(&self, recorded_at: DateTime<Utc>) -> bool {
        // At the border of two buckets the row may be in either.
        self.has_first
            || [recorded_at - INSERT_DELAY_MAX, recorded_at]
                .iter()
                .all(|at| {
                    let oldest = self.oldest.get(&bucket(*at));
                    oldest.is_some_and(|oldest| *oldest + INSERT_DELAY_MAX <= recorded_at)
                })
    }
}

fn bucket(at: DateTime<Utc>) -> i64 {
    at.timestamp()
        .div_euclid(BUCKET_SECONDS)
        .rem_euclid(BUCKETS.into())
}
