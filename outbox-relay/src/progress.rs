use std::collections::VecDeque;

use outbox::log::Cursor;

/// How far the relay is: what it has read, what it has sent, and how much of that it may save. The
/// sent events form stretches, each with a cursor that becomes true when Kafka has acknowledged the
/// whole stretch.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Progress<S = String> {
    /// Up to where the log was read; the acknowledged cursor is behind it.
    read: Cursor<S>,
    /// The number of events that were sent in all.
    sent: u64,
    acknowledged: Cursor<S>,
    ahead: VecDeque<Stretch<S>>,
    /// The number of events, from the first on, that are all acknowledged.
    prefix: u64,
    saved: Cursor<S>,
    /// Whether events were acknowledged since the cursor was saved. A snapshot that moves without
    /// events need not be saved each time, because saving moves it again.
    events_since_save: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Stretch<S> {
    /// The number of acknowledged events from which `then` is true.
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

    /// The cursor from which to read on.
    pub fn read(&self) -> &Cursor<S> {
        &self.read
    }

    /// The same cursor, for the reader to move.
    pub fn read_mut(&mut self) -> &mut Cursor<S> {
        &mut self.read
    }

    /// The number of events that were sent in all.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Counts events that are being sent.
    pub fn add_sent(&mut self, events: u64) {
        self.sent += events;
    }

    /// Marks the log as read up to the read cursor: all that was found is sent, parked or
    /// discarded. The cursor becomes true when every event that is sent by now is acknowledged.
    /// `has_events` says whether the reader found any events.
    pub fn mark_read_up_to(&mut self, has_events: bool) {
        let (until, then) = (self.sent, self.read.clone());
        match self.ahead.back_mut() {
            // A later cursor for the same events: it replaces the earlier one, or an outage would
            // pile up one cursor for each poll.
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
        self.set_acknowledged(self.prefix);
    }

    /// Sets how many events, from the first on, are all acknowledged.
    pub fn set_acknowledged(&mut self, prefix: u64) {
        self.prefix = prefix;
        while let Some(stretch) = self.ahead.pop_front_if(|stretch| stretch.until <= prefix) {
            self.acknowledged = stretch.then;
            self.events_since_save |= stretch.has_events;
        }
    }

    /// Whether all that was read is acknowledged.
    pub fn is_settled(&self) -> bool {
        self.ahead.is_empty()
    }

    /// The acknowledged cursor, if events were acknowledged since the last save.
    pub fn to_save(&self) -> Option<&Cursor<S>> {
        (self.events_since_save && self.saved != self.acknowledged).then_some(&self.acknowledged)
    }

    /// The acknowledged cursor, if it differs from the saved one in any way. The relay saves it at
    /// its end, and from time to time while no events come.
    pub fn unsaved(&self) -> Option<&Cursor<S>> {
        (self.saved != self.acknowledged).then_some(&self.acknowledged)
    }

    /// Sets the cursor that is saved in the database now.
    pub fn set_saved(&mut self, cursor: Cursor<S>) {
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
            target: None,
        }
    }

    /// Reads up to `snapshot` and sends what was found.
    fn reads(progress: &mut Progress, snapshot: &str, events: u64) {
        progress.read_mut().advance_to(snapshot.to_owned());
        progress.add_sent(events);
        progress.mark_read_up_to(events > 0);
    }

    #[test]
    fn a_cursor_is_saved_only_when_its_stretch_is_acknowledged() {
        let mut progress = Progress::new(cursor("1:1:"));
        reads(&mut progress, "2:2:", 3);
        reads(&mut progress, "3:3:", 2);
        progress.set_acknowledged(2);
        assert_eq!(progress.to_save(), None);
        progress.set_acknowledged(4);
        assert_eq!(progress.to_save(), Some(&cursor("2:2:")));
        assert!(!progress.is_settled());
        progress.set_saved(cursor("2:2:"));
        assert_eq!(progress.to_save(), None);
        progress.set_acknowledged(5);
        assert_eq!(progress.to_save(), Some(&cursor("3:3:")));
        assert!(progress.is_settled());
    }

    #[test]
    fn inside_a_large_difference_a_cursor_says_which_page_is_done() {
        let mut progress = Progress::new(cursor("1:1:"));
        progress.read_mut().start_target("9:9:".to_owned(), 6);
        for last in [7, 8] {
            progress.read_mut().finish_page(Some(last));
            progress.add_sent(1);
            progress.mark_read_up_to(true);
        }
        progress.set_acknowledged(1);
        let target = |position| Some(("9:9:".to_owned(), position));
        assert_eq!(
            progress.to_save().map(|cursor| cursor.target.clone()),
            Some(target(7))
        );
        progress.set_acknowledged(2);
        assert_eq!(
            progress.to_save().map(|cursor| cursor.target.clone()),
            Some(target(8))
        );
        progress.read_mut().finish_page(None);
        progress.mark_read_up_to(false);
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
        progress.set_acknowledged(3);
        assert_eq!(progress.to_save(), Some(&cursor("3:3:")));
    }

    #[test]
    fn a_snapshot_that_moves_without_events_is_not_saved_each_time() {
        let mut progress = Progress::new(cursor("1:1:"));
        reads(&mut progress, "2:2:", 0);
        assert!(progress.is_settled(), "nothing is in flight");
        assert_eq!(progress.to_save(), None);
        assert_eq!(progress.unsaved(), Some(&cursor("2:2:")));
    }
}
