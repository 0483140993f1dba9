use std::time::{Duration, Instant};

/// The first delay before something that ended is started again.
const RESTART_DELAY_FIRST: Duration = Duration::from_millis(200);
/// Bounds the delay, so that what can run again runs soon.
const RESTART_DELAY_MAX: Duration = Duration::from_secs(10);
/// What ran for this long was healthy: its next delay is the first one again.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);

/// The delay before something that ended is started again: twice as long each time.
pub struct RestartBackoff {
    next: Duration,
    /// When it was started last.
    started: Instant,
}

impl Default for RestartBackoff {
    fn default() -> Self {
        Self {
            next: RESTART_DELAY_FIRST,
            started: Instant::now(),
        }
    }
}

impl RestartBackoff {
    pub fn next_delay(&mut self) -> Duration {
        if self.started.elapsed() > HEALTHY_AFTER {
            self.next = RESTART_DELAY_FIRST;
        }
        let delay = self.next;
        self.started = Instant::now() + delay;
        self.next = (delay * 2).min(RESTART_DELAY_MAX);
        delay
    }
}
