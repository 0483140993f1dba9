use rdkafka::TopicPartitionList;

/// A partition of a topic.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct TopicPartition {
    /// The topic's name on the brokers.
    pub topic: String,
    pub partition: i32,
}

impl TopicPartition {
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }

    /// A list of this partition alone, as Kafka's client takes it.
    pub fn to_list(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, self.partition);
        list
    }

    /// The partitions of a list.
    pub fn all_of(list: &TopicPartitionList) -> Vec<Self> {
        list.elements()
            .iter()
            .map(|element| Self::new(element.topic(), element.partition()))
            .collect()
    }
}
