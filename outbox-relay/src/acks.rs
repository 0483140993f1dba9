use std::collections::VecDeque;

/// What Kafka said about what was sent: the contiguous prefix counts, because the cursor can only
/// say "up to here". Of each event the sender notes something, which it gets back with the
/// acknowledgement.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Acks<N> {
    /// How many from the first on are all acknowledged.
    done: u64,
    /// Those after it, in the order of sending.
    open: VecDeque<Open<N>>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Open<N> {
    position: i64,
    /// Until the acknowledgement.
    note: Option<N>,
}

/// What Kafka refused: it refuses a whole batch for the sake of one event in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Of the first event in it.
    pub position: i64,
    /// Of the last.
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
    /// Notes an event that is about to be sent; its number.
    pub fn sent(&mut self, position: i64, note: N) -> u64 {
        self.open.push_back(Open {
            position,
            note: Some(note),
        });
        self.done + self.open.len() as u64 - 1
    }

    /// An acknowledgement; what was noted of the event, if it is the first one for it.
    pub fn acknowledged(&mut self, number: u64) -> Option<N> {
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

    /// What was noted of an event that is not acknowledged yet.
    pub fn note(&mut self, number: u64) -> Option<&mut N> {
        let index = usize::try_from(number.checked_sub(self.done)?).ok()?;
        self.open.get_mut(index)?.note.as_mut()
    }

    /// The events from `first` to `last` were refused.
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

    /// How many, from the first on, are all acknowledged.
    pub fn prefix(&self) -> u64 {
        self.done
    }

    pub fn waiting(&self) -> usize {
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
            .map(|position| acks.sent(position, position))
            .collect();
        for (number, prefix) in [(1, 0), (3, 0), (0, 2), (2, 4)] {
            let note = acks.acknowledged(numbers[number]);
            assert_eq!(note, i64::try_from(number).ok());
            assert_eq!(acks.prefix(), prefix);
        }
        assert_eq!(acks.waiting(), 0);
    }

    #[test]
    fn numbers_go_on_after_the_window_moved() {
        let mut acks = Acks::default();
        let first = acks.sent(7, ());
        acks.acknowledged(first);
        let second = acks.sent(8, ());
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
            acks.acknowledged(first),
            None,
            "an acknowledgement that came twice"
        );
        assert_eq!(acks.prefix(), 1);
    }
}
