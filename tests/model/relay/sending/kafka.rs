//! A leader of Kafka in small: how it looks at the sequence numbers of idempotent producers.

/// A producer as it is known to Kafka.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Producer {
    pub id: u8,
    pub epoch: u8,
}

/// What the leader of a partition knows of producers. All replicas know it: it is read from what
/// they have.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Leader {
    known: Vec<Known>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Known {
    producer: Producer,
    /// The sequence numbers that it has of this epoch: from the first one to before the next one.
    from: u8,
    next: u8,
}

impl Leader {
    pub const fn new() -> Self {
        Self { known: Vec::new() }
    }

    /// Whether a request with so many events from the sequence number `first` on is taken, or was
    /// before. Of a producer that it does not know the leader takes any first number.
    pub fn takes(&mut self, producer: Producer, first: u8, events: u8) -> bool {
        let next = first + events;
        let begins = Known {
            producer,
            from: first,
            next,
        };
        let Some(known) = self
            .known
            .iter_mut()
            .find(|known| known.producer.id == producer.id)
        else {
            self.known.push(begins);
            self.known.sort_unstable_by_key(|known| known.producer.id);
            return true;
        };
        if known.producer.epoch != producer.epoch {
            let may_begin = producer.epoch > known.producer.epoch && first == 0;
            if may_begin {
                *known = begins;
            }
            return may_begin;
        }
        if first == known.next {
            known.next = next;
            return true;
        }
        // Kafka remembers the last five requests. There are no more here.
        known.from <= first && next <= known.next
    }

    /// Forgets what Kafka knows of a producer that sends no more, since it makes no difference.
    pub fn keep(&mut self, sends: impl Fn(u8) -> bool) {
        self.known.retain(|known| sends(known.producer.id));
    }

    /// A producer from which nothing came for a day is forgotten.
    pub fn forget_all(&mut self) {
        self.known.clear();
    }
}
