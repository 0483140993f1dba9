use chrono::{DateTime, TimeDelta, Utc};

/// How long a session lasts.
#[derive(Clone, Copy, Debug)]
pub struct SessionLife {
    /// Time without a use of its refresh token at most.
    pub idle_max: TimeDelta,
    /// Time since the password was typed in it at most, however often it is used.
    pub age_max: TimeDelta,
}

impl SessionLife {
    /// When a session ends that is not used again.
    pub fn end(self, authenticated_at: DateTime<Utc>, used_at: DateTime<Utc>) -> DateTime<Utc> {
        (used_at + self.idle_max).min(authenticated_at + self.age_max)
    }
}
