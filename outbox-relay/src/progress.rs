use std::collections::VecDeque;

use outbox::log::Cursor;

/// How far the relay is: what it has read, what it has sent, and how much of that it may save. A
/// cursor for each stretch of what was sent becomes true when Kafka has acknowledged all of the
/// stretch.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Progress<S = String> {
    /// Up to where the log was read: the acknowledged point is behind it.
    read: Cursor<S>,
    /// How many events were sent in all.
    sent: u64,
    acknowledged: Cursor<S>,
    ahead: VecDeque<Stretch<S>>,
    /// How many events are acknowledged in all.
    prefix: u64,
    saved: Cursor<S>,
    /// Whether events were acknowledged since the cursor was saved. A snapshot that moves by itself
    /// need not be saved each time: saving moves it.
    events_since_save: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Stretch<S> {
    /// How many events must be acknowledged in all.
    until: u64,
    then: Cursor<S>,
    has_events: bool,
}

impl<S: Clone + PartialEq> Progress<S> {
    pub fn new(saved: Cursor<S>) -> Self {
        Self {
            read: saved.clone(),
            sent: 0,
            acknowledged: saved.clone(),
            ahead: VecDeque::new(),
            prefix: 0,
            saved,
            events_since_save: false,
        }
    }

    /// From where to read on.
    pub fn read(&self) -> &Cursor<S> {
        &self.read
    }

    /// To be moved by what was read.
    pub fn reading(&mut self) -> &mut Cursor<S> {
        &mut self.read
    }

    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// So many more events are sent.
    pub fn send(&mut self, events: u64) {
        self.sent += events;
    }

    /// What was read is sent or put aside, or nothing was found: when all that is sent by now is
    /// acknowledged, it is true how far the log was read.
    pub fn expect(&mut self, has_events: bool) {
        let (until, then) = (self.sent, self.read.clone());
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
    pub fn to_save(&self) -> Option<&Cursor<S>> {
        (self.events_since_save && self.saved != self.acknowledged).then_some(&self.acknowledged)
    }

    /// The cursor, if it is not the saved one: for the end, and for now and then when nothing
    /// happens.
    pub fn unsaved(&self) -> Option<&Cursor<S>> {
        (self.saved != self.acknowledged).then_some(&self.acknowledged)
    }

    pub fn saved(&mut self, cursor: Cursor<S>) {
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

    /// Reads up to `snapshot` and sends what was found.
    fn reads(progress: &mut Progress, snapshot: &str, events: u64) {
        progress.reading().reached(snapshot.to_owned());
        progress.send(events);
        progress.expect(events > 0);
    }

    #[test]
    fn a_cursor_is_saved_only_when_its_stretch_is_acknowledged() {
        let mut progress = Progress::new(cursor("1:1:"));
        reads(&mut progress, "2:2:", 3);
        reads(&mut progress, "3:3:", 2);
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
    fn inside_a_large_difference_a_cursor_says_which_page_is_done() {
        let mut progress = Progress::new(cursor("1:1:"));
        progress.reading().begins("9:9:".to_owned(), 6);
        for last in [7, 8] {
            progress.reading().paged(Some(last));
            progress.send(1);
            progress.expect(true);
        }
        progress.acknowledged(1);
        let towards = |position| Some(("9:9:".to_owned(), position));
        assert_eq!(
            progress.to_save().map(|cursor| cursor.towards.clone()),
            Some(towards(7))
        );
        progress.acknowledged(2);
        assert_eq!(
            progress.to_save().map(|cursor| cursor.towards.clone()),
            Some(towards(8))
        );
        progress.reading().paged(None);
        progress.expect(false);
        assert_eq!(progress.to_save(), Some(&cursor("9:9:")));
    }

    #[test]
    fn looks_during_an_outage_do_not_pile_up() {
        let mut progress = Progress::new(cursor("1:1:"));
        reads(&mut progress, "2:2:", 3);
        for _ in 0..1000 {
            reads(&mut progress, "3:3:", 0);
        }
        assert_eq!(progress.ahead.len(), 1);
        progress.acknowledged(3);
        assert_eq!(progress.to_save(), Some(&cursor("3:3:")));
    }

    #[test]
    fn a_snapshot_that_moves_without_events_is_not_saved_each_time() {
        let mut progress = Progress::new(cursor("1:1:"));
        reads(&mut progress, "2:2:", 0);
        assert!(progress.is_settled(), "nothing is waited for");
        assert_eq!(progress.to_save(), None);
        assert_eq!(progress.unsaved(), Some(&cursor("2:2:")));
    }
}
