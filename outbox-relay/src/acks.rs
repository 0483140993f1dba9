use std::collections::VecDeque;

/// Which of the sent events Kafka has acknowledged. Only the contiguous prefix counts, because the
/// cursor can only say "up to here". With each event the sender stores a note, which it gets back
/// when the event is acknowledged.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Acks<N> {
    /// The number of events, from the first on, that are all acknowledged.
    done: u64,
    /// The events behind the prefix, in the order of sending.
    open: VecDeque<Open<N>>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Open<N> {
    position: i64,
    /// `None` once the event is acknowledged.
    note: Option<N>,
}

/// The events that Kafka refused together: it refuses a whole batch because of one event in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The position of the first event.
    pub position: i64,
    /// The position of the last event.
    pub until: i64,
    pub reason: String,
}

impl<N> Default for Acks<N> {
    fn default() -> Self {
        Self {
            done: 0,
            open: VecDeque::new(),
        }
    }
}

impl<N> Acks<N> {
    /// Adds an event that is about to be sent; returns its number.
    pub fn add(&mut self, position: i64, note: N) -> u64 {
        self.open.push_back(Open {
            position,
            note: Some(note),
        });
        self.done + self.open.len() as u64 - 1
    }

    /// Marks an event as acknowledged. Returns its note, and `None` if the event was acknowledged
    /// before.
    pub fn acknowledge(&mut self, number: u64) -> Option<N> {
        let index = usize::try_from(number.checked_sub(self.done)?).ok()?;
        let note = self.open.get_mut(index)?.note.take();
        while self
            .open
            .pop_front_if(|first| first.note.is_none())
            .is_some()
        {
            self.done += 1;
        }
        note
    }

    /// The note of an event that is not acknowledged yet.
    pub fn note_mut(&mut self, number: u64) -> Option<&mut N> {
        let index = usize::try_from(number.checked_sub(self.done)?).ok()?;
        self.open.get_mut(index)?.note.as_mut()
    }

    /// Says where the refused events from number `first` to number `last` are in the log.
    pub fn refused(&self, first: u64, last: u64, reason: String) -> Option<Refused> {
        Some(Refused {
            position: self.position(first)?,
            until: self.position(last)?,
            reason,
        })
    }

    fn position(&self, number: u64) -> Option<i64> {
        let index = usize::try_from(number.checked_sub(self.done)?).ok()?;
        Some(self.open.get(index)?.position)
    }

    /// The number of events, from the first on, that are all acknowledged.
    pub fn prefix(&self) -> u64 {
        self.done
    }

    /// The number of events behind the prefix.
    pub fn in_flight(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_contiguous_prefix_counts() {
        let mut acks = Acks::default();
        let numbers: Vec<u64> = (0..4)
            .map(|position| acks.add(position, position))
            .collect();
        for (number, prefix) in [(1, 0), (3, 0), (0, 2), (2, 4)] {
            let note = acks.acknowledge(numbers[number]);
            assert_eq!(note, i64::try_from(number).ok());
            assert_eq!(acks.prefix(), prefix);
        }
        assert_eq!(acks.in_flight(), 0);
    }

    #[test]
    fn numbers_go_on_after_the_window_moved() {
        let mut acks = Acks::default();
        let first = acks.add(7, ());
        acks.acknowledge(first);
        let second = acks.add(8, ());
        assert_eq!((first, second), (0, 1));
        assert_eq!(
            acks.refused(second, second, "no".into()),
            Some(Refused {
                position: 8,
                until: 8,
                reason: "no".into()
            })
        );
        assert_eq!(
            acks.acknowledge(first),
            None,
            "an acknowledgement that came twice"
        );
        assert_eq!(acks.prefix(), 1);
    }
}
