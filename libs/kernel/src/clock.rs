use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};

use crate::time::to_microseconds;

/// The source of the current time. It is injected, so that a test can set it; `Utc::now` is banned
/// everywhere else.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl Clock {
    /// The machine's clock.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the machine's clock enters"
    )]
    pub fn system() -> Self {
        Self(Arc::new(Utc::now))
    }

    /// A clock that a test drives.
    pub fn from_fn(now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time in microseconds, the precision of the database: an answer now and a later read show
    /// the same time.
    pub fn now(&self) -> DateTime<Utc> {
        to_microseconds((self.0)())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_microseconds() {
        let precise = DateTime::from_timestamp(1_800_000_000, 123_456_789).unwrap();
        let shown = Clock::from_fn(move || precise).now();
        assert_eq!(shown.timestamp_subsec_nanos(), 123_456_000);
        assert_eq!(Clock::system().now().timestamp_subsec_nanos() % 1000, 0);
    }
}
