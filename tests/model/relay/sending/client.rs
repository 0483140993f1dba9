//! The client of an idempotent, gapless producer in small, as librdkafka is one.

use std::collections::VecDeque;

use outbox_relay::Destination;

use super::kafka::Producer;
use crate::relay::postgres::Event;

pub const PARTITIONS: usize = 2;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Client {
    pub producer: Producer,
    /// A request was refused since one before it was: when nothing is in flight, the sequences
    /// begin anew.
    is_bumping: bool,
    pub queues: [Queue; PARTITIONS],
}

/// The events for one partition.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Queue {
    /// The sequence number of the next event.
    next: u8,
    waiting: VecDeque<Request>,
    /// In the order of sending. The client allows for five; there are no more events here.
    in_flight: VecDeque<Request>,
    /// The relay must send something again, once nothing is in flight.
    is_draining: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Request {
    first: u8,
    pub messages: Vec<Message>,
    /// Events that were sent in one request are sent in one request again.
    was_sent: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Message {
    /// The relay's acknowledgements.
    pub number: u64,
    pub event: Event,
    /// The relay's opening of partitions.
    pub place: Option<Destination>,
}

/// Kafka's answer to a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    Taken,
    /// Not the leader, too few replicas, or there was no answer: the request may also have been
    /// taken.
    NotNow,
    OutOfOrder,
    /// One of its events will never do.
    Refused,
}

/// What the client reports to the relay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Report {
    Nothing,
    Delivered(Vec<Message>),
    /// From this event to that one.
    Refused(Message, Message),
    /// The client cannot go on.
    Broken,
}

impl Request {
    fn len(&self) -> u8 {
        u8::try_from(self.messages.len()).unwrap()
    }
}

impl Client {
    pub fn new(id: u8) -> Self {
        Self {
            producer: Producer { id, epoch: 0 },
            is_bumping: false,
            queues: [const { Queue::new() }; PARTITIONS],
        }
    }

    pub fn take(&mut self, partition: usize, message: Message) {
        self.queues[partition].take(message);
    }

    pub fn may_send(&self, partition: usize) -> bool {
        let queue = &self.queues[partition];
        !self.is_bumping && !queue.is_draining && !queue.waiting.is_empty()
    }

    /// Sends the first event that waits, or all together.
    pub fn send(&mut self, partition: usize, in_one_request: bool) {
        self.queues[partition].send(in_one_request);
    }

    /// The answer to the first request in flight.
    pub fn answered(&mut self, partition: usize, answer: Answer) -> Report {
        let queue = &mut self.queues[partition];
        let Some(request) = queue.in_flight.pop_front() else {
            return Report::Nothing;
        };
        let report = match answer {
            Answer::Taken => Report::Delivered(queue.taken(request)),
            Answer::Refused => {
                let (first, last) = (request.messages.first(), request.messages.last());
                Report::Refused(*first.unwrap(), *last.unwrap())
            }
            // None before it is open: the client does not know what Kafka has.
            Answer::OutOfOrder if !queue.waits_before(&request) => Report::Broken,
            Answer::OutOfOrder => {
                self.is_bumping = true;
                queue.put_back(request);
                Report::Nothing
            }
            Answer::NotNow => {
                queue.put_back(request);
                Report::Nothing
            }
        };
        queue.is_draining &= !queue.in_flight.is_empty();
        if self.is_bumping && self.queues.iter().all(|queue| queue.in_flight.is_empty()) {
            self.is_bumping = false;
            self.producer.epoch += 1;
            self.queues.iter_mut().for_each(Queue::begin_anew);
        }
        report
    }

    /// It is gone. What is in flight may still be taken.
    pub fn throw_away(&mut self) {
        for queue in &mut self.queues {
            queue.waiting.clear();
        }
    }

    /// All that it has not reported.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.queues
            .iter()
            .flat_map(|queue| queue.in_flight.iter().chain(&queue.waiting))
            .flat_map(|request| &request.messages)
    }
}

impl Queue {
    const fn new() -> Self {
        Self {
            next: 0,
            waiting: VecDeque::new(),
            in_flight: VecDeque::new(),
            is_draining: false,
        }
    }

    fn take(&mut self, message: Message) {
        self.waiting.push_back(Request {
            first: self.next,
            messages: vec![message],
            was_sent: false,
        });
        self.next += 1;
    }

    fn send(&mut self, in_one_request: bool) {
        let Some(mut request) = self.waiting.pop_front() else {
            return;
        };
        if !request.was_sent && in_one_request {
            request
                .messages
                .extend(self.waiting.drain(..).flat_map(|other| other.messages));
        }
        request.was_sent = true;
        self.in_flight.push_back(request);
    }

    /// The first request in flight.
    pub fn first(&self) -> Option<(u8, &Request)> {
        self.in_flight
            .front()
            .map(|request| (request.first, request))
    }

    /// A request that was taken is taken to say that all before it were.
    fn taken(&mut self, request: Request) -> Vec<Message> {
        let mut delivered = Vec::new();
        while let Some(before) = self
            .waiting
            .pop_front_if(|before| before.first < request.first)
        {
            delivered.extend(before.messages);
        }
        delivered.extend(request.messages);
        delivered
    }

    fn waits_before(&self, request: &Request) -> bool {
        self.waiting
            .front()
            .is_some_and(|before| before.first < request.first)
    }

    fn put_back(&mut self, request: Request) {
        let at = self
            .waiting
            .iter()
            .position(|other| other.first > request.first);
        self.waiting
            .insert(at.unwrap_or(self.waiting.len()), request);
        self.is_draining = true;
    }

    fn begin_anew(&mut self) {
        self.next = 0;
        for request in &mut self.waiting {
            request.first = self.next;
            self.next += request.len();
        }
    }
}
