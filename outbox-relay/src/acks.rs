use std::collections::VecDeque;

use telemetry::traces::Span;

/// What Kafka said about what was sent: the contiguous prefix counts, because the cursor can only say "up to here".
#[derive(Debug, Default)]
pub struct Acks {
    /// How many from the first on are all acknowledged.
    done: u64,
    /// Those after it, in the order of sending.
    open: VecDeque<Open>,
}

#[derive(Debug)]
struct Open {
    acknowledged: bool,
    position: i64,
    recorded_at_micros: i64,
    step: Option<Span>,
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

impl Acks {
    /// Notes an event that is about to be sent; its number.
    pub fn sent(&mut self, position: i64, recorded_at_micros: i64, step: Span) -> u64 {
        self.open.push_back(Open {
            acknowledged: false,
            position,
            recorded_at_micros,
            step: Some(step),
        });
        self.done + self.open.len() as u64 - 1
    }

    /// Notes an acknowledgement; when the event was recorded.
    pub fn acknowledged(&mut self, number: u64) -> Option<i64> {
        let index = usize::try_from(number.checked_sub(self.done)?).ok()?;
        let open = self.open.get_mut(index)?;
        open.acknowledged = true;
        let recorded_at = open.recorded_at_micros;
        if let Some(step) = open.step.take() {
            step.end();
        }
        while self.open.front().is_some_and(|first| first.acknowledged) {
            self.open.pop_front();
            self.done += 1;
        }
        Some(recorded_at)
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
            .map(|position| acks.sent(position, 0, Span::none()))
            .collect();
        for (number, prefix) in [(1, 0), (3, 0), (0, 2), (2, 4)] {
            acks.acknowledged(numbers[number]);
            assert_eq!(acks.prefix(), prefix);
        }
        assert_eq!(acks.waiting(), 0);
    }

    #[test]
    fn numbers_go_on_after_the_window_moved() {
        let mut acks = Acks::default();
        let first = acks.sent(7, 1, Span::none());
        acks.acknowledged(first);
        let second = acks.sent(8, 2, Span::none());
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
