use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::partitioner;

/// A partition without an acknowledgement for this long is opened anew. Its leader forgets a
/// producer after a day (`producer.id.expiration.ms`), so an hour is safely below.
const SILENCE_MAX: Duration = Duration::from_secs(3600);
/// Between counts of a topic's partitions: a topic may get more.
const COUNT_INTERVAL: Duration = Duration::from_secs(300);

/// Decides which events the producer may give to Kafka's client now, and which it holds back.
///
/// A leader that has no state of a producer takes any first sequence number of it. If the first
/// request were refused for the moment and the second were under way, the second would be taken,
/// and the client would report the first as delivered. So a partition is opened: its first event
/// goes alone, and what comes next waits until that one is acknowledged. From then on the leader
/// knows the sequence and refuses a gap.
///
/// Of a topic whose partitions are not known yet only one event at a time is on its way, and the
/// client chooses its partition.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Opening<E> {
    prefix: String,
    by_name: BTreeMap<String, usize>,
    topics: Vec<Topic<E>>,
    /// Lanes that hold events back and had one acknowledged: the next one may go.
    ready: Vec<Destination>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Topic<E> {
    /// The name in Kafka, with the prefix.
    name: Arc<str>,
    /// For events that were sent while the partitions are not known.
    unplaced: Lane<E>,
    /// The number of partitions; 0 while it is not known.
    count: u32,
    partitions: Vec<Lane<E>>,
    /// When the partitions are to be counted.
    count_due: Option<Instant>,
}

/// The events of a partition, or of a topic whose partitions are not known: those in flight, and
/// those that are held back behind them.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Lane<E> {
    /// Whether an event of this producer was acknowledged, so that the leader knows the next
    /// sequence number.
    is_open: bool,
    in_flight: usize,
    /// When the last acknowledgement came, or when the first event in flight was sent.
    since: Option<Instant>,
    held: VecDeque<(Destination, E)>,
}

/// The topic and partition that an event goes to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Destination {
    topic: usize,
    hash: u32,
    partition: Option<u32>,
}

impl Destination {
    /// The partition's number; `None` if Kafka's client is to choose it.
    pub fn partition(self) -> Option<i32> {
        self.partition
            .and_then(|partition| i32::try_from(partition).ok())
    }
}

impl<E> Opening<E> {
    /// `prefix` goes before the name of every topic.
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            by_name: BTreeMap::new(),
            topics: Vec::new(),
            ready: Vec::new(),
        }
    }

    /// The destination of an event with this topic and key.
    pub fn destination(&mut self, topic: &str, key: &str) -> Destination {
        let topic = match self.by_name.get(topic) {
            Some(topic) => *topic,
            None => self.add(topic),
        };
        self.topics[topic].destination(topic, partitioner::hash(key))
    }

    fn add(&mut self, topic: &str) -> usize {
        self.topics.push(Topic {
            name: format!("{}{topic}", self.prefix).into(),
            unplaced: Lane::new(),
            count: 0,
            partitions: Vec::new(),
            count_due: None,
        });
        self.by_name.insert(topic.to_owned(), self.topics.len() - 1);
        self.topics.len() - 1
    }

    /// The topic's name in Kafka.
    pub fn topic(&self, destination: Destination) -> Arc<str> {
        self.topics[destination.topic].name.clone()
    }

    /// Whether an event may go now; then it counts as sent. Otherwise the caller must hold it.
    pub fn may_go(&mut self, destination: Destination, now: Instant) -> bool {
        let lane = self.lane(destination);
        lane.held.is_empty() && lane.may_go(now)
    }

    /// Holds an event back behind those that are on their way.
    pub fn hold(&mut self, destination: Destination, event: E) {
        self.lane(destination).held.push_back((destination, event));
    }

    /// Notes that an event to this destination is acknowledged.
    pub fn acknowledged(&mut self, destination: Destination, now: Instant) {
        let lane = self.lane(destination);
        lane.acknowledged(now);
        lane.is_open = destination.partition.is_some();
        let holds = !lane.held.is_empty();
        if destination.partition.is_none() {
            // The topic exists, so its partitions can be counted now.
            self.topics[destination.topic].count_due = Some(now);
        }
        if holds {
            self.ready.push(destination);
        }
    }

    /// The next event that was held back and may go now; it counts as sent.
    pub fn released(&mut self, now: Instant) -> Option<(Destination, E)> {
        while let Some(destination) = self.ready.last().copied() {
            let lane = self.lane(destination);
            if !lane.held.is_empty() && lane.may_go(now) {
                return lane.held.pop_front();
            }
            self.ready.pop();
        }
        None
    }

    /// A topic whose partitions are to be counted. It comes again after the next acknowledgement,
    /// or when it is known already, after `COUNT_INTERVAL`.
    pub fn next_to_count(&mut self, now: Instant) -> Option<Arc<str>> {
        let topic = self
            .topics
            .iter_mut()
            .find(|topic| topic.count_due.is_some_and(|due| due <= now))?;
        topic.count_due = (topic.count > 0).then(|| now + COUNT_INTERVAL);
        Some(topic.name.clone())
    }

    /// Sets the number of a topic's partitions. Events that were held back because it was not known
    /// get their partitions.
    pub fn counted(&mut self, name: &str, count: u32, now: Instant) {
        let Some(index) = self.topics.iter().position(|topic| &*topic.name == name) else {
            return;
        };
        let topic = &mut self.topics[index];
        // A topic may have been made anew with fewer partitions. Then the client reports that there
        // is no such partition.
        if count <= topic.count {
            return;
        }
        topic.count = count;
        topic.count_due = Some(now + COUNT_INTERVAL);
        topic
            .partitions
            .resize_with(usize::try_from(count).unwrap_or_default(), Lane::new);
        for (destination, event) in std::mem::take(&mut topic.unplaced.held) {
            let destination = self.topics[index].destination(index, destination.hash);
            self.hold(destination, event);
            if !self.ready.contains(&destination) {
                self.ready.push(destination);
            }
        }
    }

    /// A partition that has not answered for so long that its leader may forget the producer. Only
    /// a new producer may go on.
    pub fn silent(&self, now: Instant) -> Option<String> {
        self.topics.iter().find_map(|topic| {
            let partition = topic
                .partitions
                .iter()
                .position(|lane| lane.is_silent(now))?;
            Some(format!(
                "partition {partition} of {} has not acknowledged anything for {} min",
                topic.name,
                SILENCE_MAX.as_secs() / 60
            ))
        })
    }

    /// All events that are held back.
    pub fn held(&self) -> impl Iterator<Item = &E> {
        let lanes = self
            .topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().chain([&topic.unplaced]));
        lanes.flat_map(|lane| lane.held.iter().map(|(_, event)| event))
    }

    fn lane(&mut self, destination: Destination) -> &mut Lane<E> {
        let topic = &mut self.topics[destination.topic];
        match destination.partition {
            Some(partition) => &mut topic.partitions[partition as usize],
            None => &mut topic.unplaced,
        }
    }
}

impl<E> Topic<E> {
    fn destination(&self, topic: usize, hash: u32) -> Destination {
        Destination {
            topic,
            hash,
            partition: hash.checked_rem(self.count),
        }
    }
}

impl<E> Lane<E> {
    fn new() -> Self {
        Self {
            is_open: false,
            in_flight: 0,
            since: None,
            held: VecDeque::new(),
        }
    }

    fn may_go(&mut self, now: Instant) -> bool {
        if self.in_flight == 0 {
            self.is_open &= !self.is_old(now);
            self.since = Some(now);
        } else if !self.is_open {
            return false;
        }
        self.in_flight += 1;
        true
    }

    fn acknowledged(&mut self, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.since = Some(now);
    }

    /// One event alone may wait without a limit: nothing is behind it.
    fn is_silent(&self, now: Instant) -> bool {
        self.is_open && self.in_flight > 0 && self.is_old(now)
    }

    fn is_old(&self, now: Instant) -> bool {
        self.since
            .is_some_and(|since| now.saturating_duration_since(since) >= SILENCE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTITIONS: u32 = 3;

    struct Producer {
        opening: Opening<u32>,
        now: Instant,
        sent: Vec<u32>,
    }

    impl Producer {
        fn new() -> Self {
            Self {
                opening: Opening::new("store."),
                now: Instant::now(),
                sent: Vec::new(),
            }
        }

        /// A producer that knows the partitions of `orders`.
        fn knowing() -> Self {
            let mut producer = Self::new();
            let first = producer.send("first", 0);
            producer.acknowledged(first);
            producer.sent.clear();
            producer
        }

        fn send(&mut self, key: &str, event: u32) -> Destination {
            let destination = self.opening.destination("orders", key);
            if self.opening.may_go(destination, self.now) {
                self.sent.push(event);
            } else {
                self.opening.hold(destination, event);
            }
            destination
        }

        fn acknowledged(&mut self, destination: Destination) {
            self.opening.acknowledged(destination, self.now);
            while let Some(topic) = self.opening.next_to_count(self.now) {
                self.opening.counted(&topic, PARTITIONS, self.now);
            }
            while let Some((_, event)) = self.opening.released(self.now) {
                self.sent.push(event);
            }
        }

        /// Three keys, each of another partition.
        fn keys(&mut self) -> [String; 3] {
            [0, 1, 2].map(|partition| {
                (0..1000)
                    .map(|number| format!("key {number}"))
                    .find(|key| {
                        self.opening.destination("orders", key).partition == Some(partition)
                    })
                    .unwrap()
            })
        }
    }

    #[test]
    fn the_first_event_of_a_partition_goes_alone_until_it_is_acknowledged() {
        let mut producer = Producer::knowing();
        let [a, ..] = producer.keys();
        let first = producer.send(&a, 1);
        producer.send(&a, 2);
        producer.send(&a, 3);
        assert_eq!(producer.sent, [1]);
        producer.acknowledged(first);
        assert_eq!(producer.sent, [1, 2, 3]);
        producer.send(&a, 4);
        assert_eq!(
            producer.sent,
            [1, 2, 3, 4],
            "an open partition waits for nothing"
        );
    }

    #[test]
    fn other_partitions_go_on() {
        let mut producer = Producer::knowing();
        let [a, b, c] = producer.keys();
        let opened = producer.send(&b, 1);
        producer.acknowledged(opened);
        producer.send(&a, 2);
        producer.send(&a, 3);
        producer.send(&b, 4);
        producer.send(&c, 5);
        assert_eq!(producer.sent, [1, 2, 4, 5]);
    }

    #[test]
    fn a_topic_whose_partitions_are_unknown_has_one_event_on_its_way() {
        let mut producer = Producer::new();
        let first = producer.send("a", 1);
        assert_eq!(first.partition(), None);
        for event in 2..10 {
            producer.send(&format!("key {}", event % 4), event);
        }
        assert_eq!(producer.sent, [1]);
        producer.opening.acknowledged(first, producer.now);
        // They could not be counted: the next one goes alone, too.
        assert_eq!(
            producer
                .opening
                .released(producer.now)
                .map(|(_, event)| event),
            Some(2)
        );
        assert!(producer.opening.released(producer.now).is_none());
        producer.acknowledged(first);
        let mut firsts = producer.sent.clone();
        firsts.sort_unstable();
        firsts.dedup();
        assert!(
            producer.sent.len() <= 1 + PARTITIONS as usize,
            "{:?}",
            producer.sent
        );
        assert_eq!(firsts.len(), producer.sent.len());
    }

    #[test]
    fn what_was_held_back_keeps_its_order_when_the_partitions_are_known() {
        let mut producer = Producer::new();
        let first = producer.send("a", 1);
        for event in 2..10 {
            producer.send("a", event);
        }
        producer.acknowledged(first);
        assert_eq!(producer.sent, [1, 2]);
        let destination = producer.opening.destination("orders", "a");
        producer.send("a", 10);
        producer.acknowledged(destination);
        assert_eq!(producer.sent, (1..=10).collect::<Vec<_>>());
    }

    #[test]
    fn a_partition_that_was_not_written_to_for_long_is_opened_anew() {
        let mut producer = Producer::knowing();
        let [a, ..] = producer.keys();
        let destination = producer.send(&a, 1);
        producer.acknowledged(destination);
        producer.now += SILENCE_MAX;
        producer.send(&a, 2);
        producer.send(&a, 3);
        assert_eq!(producer.sent, [1, 2]);
        producer.acknowledged(destination);
        assert_eq!(producer.sent, [1, 2, 3]);
    }

    #[test]
    fn a_partition_that_leaves_several_events_unanswered_for_long_needs_a_new_producer() {
        let mut producer = Producer::knowing();
        let [a, b, _] = producer.keys();
        // The only one on its way may wait as long as it must.
        producer.send(&b, 1);
        let destination = producer.send(&a, 2);
        producer.acknowledged(destination);
        producer.now += SILENCE_MAX / 2;
        producer.send(&a, 3);
        producer.send(&a, 4);
        producer.now += SILENCE_MAX / 2;
        assert_eq!(producer.opening.silent(producer.now), None);
        producer.now += SILENCE_MAX / 2;
        let silent = producer.opening.silent(producer.now);
        assert!(silent.is_some_and(|silent| silent.contains("partition 0 of store.orders")));
    }

    #[test]
    fn partitions_that_are_added_are_opened() {
        let mut producer = Producer::knowing();
        assert!(producer.opening.next_to_count(producer.now).is_none());
        producer.now += COUNT_INTERVAL;
        let topic = producer.opening.next_to_count(producer.now).unwrap();
        producer
            .opening
            .counted(&topic, 2 * PARTITIONS, producer.now);
        let key = (0..1000)
            .map(|number| format!("key {number}"))
            .find(|key| producer.opening.destination("orders", key).partition() == Some(5))
            .unwrap();
        producer.send(&key, 1);
        producer.send(&key, 2);
        assert_eq!(producer.sent, [1]);
    }
}
