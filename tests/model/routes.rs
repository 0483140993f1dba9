use contracts::catalogue::TOPICS;
use service_kit::Service;

use crate::{
    event::Event,
    queues::{Consumer, Key, Lane},
};

/// Which service gets which event: the subscriptions of the services themselves.
#[derive(Clone)]
pub struct Routes {
    subscribers: [Vec<Consumer>; Event::ALL.len()],
}

impl Routes {
    pub fn of_the_services() -> Self {
        let subscriptions = Consumer::ALL.map(|consumer| (consumer, subscriptions(consumer)));
        let subscribers = Event::ALL.map(|event| {
            let (_, event_type) = event.contract();
            let subscribed = subscriptions
                .iter()
                .filter(|(_, types)| types.contains(&event_type));
            subscribed.map(|(consumer, _)| *consumer).collect()
        });
        Self { subscribers }
    }

    pub fn subscribers(&self, event: Event) -> &[Consumer] {
        &self.subscribers[event as usize]
    }

    /// The lanes that an event with this key is put on.
    pub fn lanes(&self, event: Event, key: Key) -> impl Iterator<Item = Lane> {
        let topic = TOPICS.iter().position(|topic| *topic == event.contract().0);
        let topic = topic.expect("every topic is in the catalogue");
        let topic = u8::try_from(topic).expect("there are few topics");
        self.subscribers(event).iter().map(move |&consumer| Lane {
            consumer,
            topic,
            key,
        })
    }
}

/// The event types that a consumer's service subscribes to.
pub fn subscriptions(consumer: Consumer) -> Vec<&'static str> {
    match consumer {
        Consumer::Billing => billing::Billing::subscriptions().event_types(),
        Consumer::Orders => orders::Orders::subscriptions().event_types(),
        Consumer::Warehouse => warehouse::Warehouse::subscriptions().event_types(),
        Consumer::Delivery => delivery::Delivery::subscriptions().event_types(),
    }
}
