//! What feeds the client. Which events may go is decided by the relay's own `Opening`.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use outbox_relay::{Destination, Opening};

use super::{
    Rule, Sending,
    client::{Answer, Client, Message, Report},
};
use crate::relay::postgres::{Event, Key};

static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
const DAY: Duration = Duration::from_secs(86_400);
const TOPIC: &str = "notes";

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Feeder {
    pub client: Client,
    /// Without this rule, all events may go at once.
    opening: Option<Opening<Message>>,
    partitions: u32,
    /// Whether Kafka says how many partitions there are.
    is_counted: bool,
    now: Instant,
}

impl Feeder {
    pub fn new(id: u8, bounds: &Sending) -> Self {
        Self {
            client: Client::new(id),
            opening: bounds.keeps(Rule::OpenPartitions).then(|| Opening::new("")),
            partitions: if bounds.apart { 2 } else { 1 },
            is_counted: bounds.is_counted,
            now: *BEGINNING,
        }
    }

    /// Sends an event, or holds it back.
    pub fn send(&mut self, number: u64, event: Event) {
        let mut message = Message {
            number,
            event,
            place: None,
        };
        if let Some(opening) = &mut self.opening {
            let place = opening.destination(TOPIC, name(event.key));
            message.place = Some(place);
            if !opening.may_go(place, self.now) {
                return opening.hold(place, message);
            }
        }
        self.enqueue(message);
    }

    fn enqueue(&mut self, message: Message) {
        let partition = message.event.key as u32 % self.partitions;
        let chosen = message.place.and_then(Destination::partition);
        assert!(chosen.is_none_or(|chosen| chosen.cast_unsigned() == partition));
        self.client.take(partition as usize, message);
    }

    pub fn answered(&mut self, partition: usize, answer: Answer) -> Report {
        let report = self.client.answered(partition, answer);
        if let Report::Delivered(messages) = &report {
            self.acknowledged(messages);
        }
        report
    }

    fn acknowledged(&mut self, messages: &[Message]) {
        let Some(opening) = &mut self.opening else {
            return;
        };
        for place in messages.iter().filter_map(|message| message.place) {
            opening.acknowledged(place, self.now);
        }
        while let Some(topic) = opening.next_to_count(self.now) {
            if self.is_counted {
                opening.counted(&topic, self.partitions, self.now);
            }
        }
        while let Some((place, message)) = self.released() {
            self.enqueue(Message {
                place: Some(place),
                ..message
            });
        }
    }

    fn released(&mut self) -> Option<(Destination, Message)> {
        self.opening.as_mut()?.released(self.now)
    }

    pub fn held(&self) -> impl Iterator<Item = &Message> {
        self.opening.iter().flat_map(Opening::held)
    }

    /// All that is not acknowledged.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.client.messages().chain(self.held())
    }

    pub fn has_nothing(&self) -> bool {
        self.messages().next().is_none()
    }

    /// It is gone. What is in flight may still be taken.
    pub fn throw_away(&mut self) {
        self.client.throw_away();
        self.opening = None;
    }

    pub fn pass_a_day(&mut self) {
        self.now += DAY;
    }

    /// Whether it waits for an acknowledgement for so long that it is given up.
    pub fn is_silent(&self) -> bool {
        self.opening
            .as_ref()
            .is_some_and(|opening| opening.silent(self.now).is_some())
    }
}

/// The first is of the partition 0 of two, the second of the other.
fn name(key: Key) -> &'static str {
    match key {
        Key::A => "A",
        Key::B => "D",
    }
}
