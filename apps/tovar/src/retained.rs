//! How far back an outbox has all that was published.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use outbox::log::{BUCKET_SECONDS, BUCKETS};

/// A row may wait for a moment between its time and its place in a bucket.
const SLACK: TimeDelta = TimeDelta::seconds(1);
/// Of the first row that an outbox ever had, unless it was rolled back.
const FIRST: i64 = 1;

/// Since when each bucket has all that was written to it. A bucket is emptied as a whole, so what
/// came after a row that is there is there as well; and the oldest is emptied first.
#[derive(Default)]
pub struct Retained {
    oldest: HashMap<i64, DateTime<Utc>>,
    has_first: bool,
}

impl Retained {
    /// Adds a row that is there.
    pub fn add(&mut self, position: i64, recorded_at: DateTime<Utc>) {
        self.has_first |= position == FIRST;
        let oldest = self
            .oldest
            .entry(bucket(recorded_at))
            .or_insert(recorded_at);
        *oldest = recorded_at.min(*oldest);
    }

    /// Whether a row of this time would be there.
    pub fn reaches(&self, recorded_at: DateTime<Utc>) -> bool {
        // At the border of two buckets it may be in either.
        self.has_first
            || [recorded_at - SLACK, recorded_at].iter().all(|at| {
                let oldest = self.oldest.get(&bucket(*at));
                oldest.is_some_and(|oldest| *oldest + SLACK <= recorded_at)
            })
    }
}

fn bucket(at: DateTime<Utc>) -> i64 {
    at.timestamp()
        .div_euclid(BUCKET_SECONDS)
        .rem_euclid(BUCKETS.into())
}
