use chrono::{DateTime, TimeDelta, Utc};

/// For how long a session lasts.
#[derive(Clone, Copy, Debug)]
pub struct SessionLife {
    /// Without a use of its refresh token.
    pub unused: TimeDelta,
    /// Since the password was typed in it, however often it is used.
    pub longest: TimeDelta,
}

impl SessionLife {
    /// When a session ends that is not used again.
    pub fn end(self, authenticated_at: DateTime<Utc>, used_at: DateTime<Utc>) -> DateTime<Utc> {
        (used_at + self.unused).min(authenticated_at + self.longest)
    }
}
