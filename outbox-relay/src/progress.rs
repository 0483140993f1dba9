use std::collections::VecDeque;

use outbox::log::Cursor;

/// How far the relay may say that it is: a cursor for each stretch of what was sent, which becomes true when Kafka
/// has acknowledged all of the stretch.
#[derive(Debug)]
pub struct Progress {
    acknowledged: Cursor,
    ahead: VecDeque<Stretch>,
    /// How many events are acknowledged in all.
    prefix: u64,
    saved: Cursor,
    /// Whether events were acknowledged since the cursor was saved. A snapshot that moves by itself need not be
    /// saved each time: saving moves it.
    events_since_save: bool,
}

#[derive(Debug)]
struct Stretch {
    /// How many events must be acknowledged in all.
    until: u64,
    then: Cursor,
    has_events: bool,
}

impl Progress {
    pub fn new(saved: Cursor) -> Self {
        Self {
            acknowledged: saved.clone(),
            ahead: VecDeque::new(),
            prefix: 0,
            saved,
            events_since_save: false,
        }
    }

    /// When `until` events are acknowledged in all, `then` is true.
    pub fn expect(&mut self, until: u64, then: Cursor, has_events: bool) {
        match self.ahead.back_mut() {
            // A later cursor for the same events. An outage would gather one at every look.
            Some(last) if last.until == until => {
                last.then = then;
                last.has_events |= has_events;
            }
            _ => self.ahead.push_back(Stretch {
                until,
                then,
                has_events,
            }),
        }
        self.acknowledged(self.prefix);
    }

    /// Takes note of how many events are acknowledged in all.
    pub fn acknowledged(&mut self, prefix: u64) {
        self.prefix = prefix;
        while let Some(stretch) = self.ahead.pop_front_if(|stretch| stretch.until <= prefix) {
            self.acknowledged = stretch.then;
            self.events_since_save |= stretch.has_events;
        }
    }

    pub fn is_settled(&self) -> bool {
        self.ahead.is_empty()
    }

    /// The cursor, if saving it is due.
    pub fn to_save(&self) -> Option<&Cursor> {
        (self.events_since_save && self.saved != self.acknowledged).then_some(&self.acknowledged)
    }

    /// The cursor, if it is not the saved one: for the end, and for now and then when nothing happens.
    pub fn unsaved(&self) -> Option<&Cursor> {
        (self.saved != self.acknowledged).then_some(&self.acknowledged)
    }

    pub fn saved(&mut self, cursor: Cursor) {
        self.events_since_save = self.acknowledged != cursor && self.events_since_save;
        self.saved = cursor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(snapshot: &str) -> Cursor {
        Cursor {
            acknowledged: snapshot.to_owned(),
            towards: None,
        }
    }

    #[test]
    fn a_cursor_is_saved_only_when_its_stretch_is_acknowledged() {
        let mut progress = Progress::new(cursor("1:1:"));
        progress.expect(3, cursor("2:2:"), true);
        progress.expect(5, cursor("3:3:"), true);
        progress.acknowledged(2);
        assert_eq!(progress.to_save(), None);
        progress.acknowledged(4);
        assert_eq!(progress.to_save(), Some(&cursor("2:2:")));
        assert!(!progress.is_settled());
        progress.saved(cursor("2:2:"));
        assert_eq!(progress.to_save(), None);
        progress.acknowledged(5);
        assert_eq!(progress.to_save(), Some(&cursor("3:3:")));
        assert!(progress.is_settled());
    }

    #[test]
    fn looks_during_an_outage_do_not_pile_up() {
        let mut progress = Progress::new(cursor("1:1:"));
        progress.expect(3, cursor("2:2:"), true);
        for _ in 0..1000 {
            progress.expect(3, cursor("3:3:"), false);
        }
        assert_eq!(progress.ahead.len(), 1);
        progress.acknowledged(3);
        assert_eq!(progress.to_save(), Some(&cursor("3:3:")));
    }

    #[test]
    fn a_snapshot_that_moves_without_events_is_not_saved_each_time() {
        let mut progress = Progress::new(cursor("1:1:"));
        progress.expect(0, cursor("2:2:"), false);
        assert!(progress.is_settled(), "nothing is waited for");
        assert_eq!(progress.to_save(), None);
        assert_eq!(progress.unsaved(), Some(&cursor("2:2:")));
    }
}
