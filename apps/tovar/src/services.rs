//! The six services as the command line knows them.

use contracts::{billing, delivery, orders, users, warehouse};
use kernel::Event;

/// A service's name, the topic that it publishes to, and what it listens to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServiceInfo {
    pub name: &'static str,
    /// The gateway's variable for its address.
    pub gateway_variable: &'static str,
    /// `None` for notifications, which publishes nothing but has an outbox too.
    pub topic: Option<&'static str>,
    /// The types of the events that it applies.
    pub listens_to: &'static [&'static str],
}

const fn info(
    name: &'static str,
    gateway_variable: &'static str,
    topic: Option<&'static str>,
    listens_to: &'static [&'static str],
) -> ServiceInfo {
    ServiceInfo {
        name,
        gateway_variable,
        topic,
        listens_to,
    }
}

/// The services in the order of their start. users is the first: it has the token keys.
pub const SERVICES: [ServiceInfo; 6] = [
    info("users", "USERS_URL", Some(users::TOPIC), &[]),
    info("billing", "BILLING_URL", Some(billing::TOPIC), &BILLING),
    info("orders", "ORDERS_URL", Some(orders::TOPIC), &ORDERS),
    info(
        "warehouse",
        "WAREHOUSE_URL",
        Some(warehouse::TOPIC),
        &WAREHOUSE,
    ),
    info("delivery", "DELIVERY_URL", Some(delivery::TOPIC), &DELIVERY),
    info("notifications", "NOTIFICATIONS_URL", None, &NOTIFICATIONS),
];

const BILLING: [&str; 6] = [
    users::UserRegistered::TYPE,
    users::UserDeleted::TYPE,
    orders::Placed::TYPE,
    delivery::Booked::TYPE,
    orders::Closed::TYPE,
    users::TokensVoid::TYPE,
];

const ORDERS: [&str; 16] = [
    warehouse::GoodsListed::TYPE,
    billing::Held::TYPE,
    billing::HoldRefused::TYPE,
    warehouse::Reserved::TYPE,
    warehouse::ReserveRefused::TYPE,
    delivery::Booked::TYPE,
    delivery::BookingRefused::TYPE,
    billing::Captured::TYPE,
    warehouse::Shipped::TYPE,
    warehouse::Released::TYPE,
    warehouse::ReleaseRefused::TYPE,
    delivery::Delivered::TYPE,
    delivery::Failed::TYPE,
    warehouse::Returned::TYPE,
    billing::Settled::TYPE,
    users::TokensVoid::TYPE,
];

const WAREHOUSE: [&str; 6] = [
    billing::Held::TYPE,
    billing::Captured::TYPE,
    orders::StopRequested::TYPE,
    orders::Closed::TYPE,
    delivery::Failed::TYPE,
    users::TokensVoid::TYPE,
];

const DELIVERY: [&str; 4] = [
    warehouse::Reserved::TYPE,
    warehouse::Shipped::TYPE,
    orders::Closed::TYPE,
    users::TokensVoid::TYPE,
];

const NOTIFICATIONS: [&str; 6] = [
    users::UserRegistered::TYPE,
    billing::ToppedUp::TYPE,
    billing::Withdrawn::TYPE,
    warehouse::Shipped::TYPE,
    orders::Finished::TYPE,
    users::TokensVoid::TYPE,
];

impl ServiceInfo {
    /// The topics that it reads, without a prefix.
    pub fn reads(&self) -> Vec<&'static str> {
        let mut topics: Vec<&str> = self
            .listens_to
            .iter()
            .map(|event| topic_of(event))
            .collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }
}

/// The topic of an event's type, which is also its producer's name.
pub fn topic_of(event_type: &str) -> &str {
    event_type
        .split_once('.')
        .map_or(event_type, |(topic, _)| topic)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::SERVICES;

    /// The charts give the brokers' access rights by this file.
    #[test]
    fn the_charts_know_what_each_service_writes_and_reads() {
        let chart = include_str!("../../../helm/kafka/events.yaml");
        let mut ours = String::new();
        for service in SERVICES {
            let (writes, reads) = (
                service.topic.unwrap_or_default(),
                service.reads().join(", "),
            );
            let _ = writeln!(
                ours,
                "{}: {{writes: [{writes}], reads: [{reads}]}}",
                service.name
            );
        }
        let theirs: Vec<&str> = chart
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect();
        assert_eq!(
            theirs.join("\n") + "\n",
            ours,
            "correct helm/kafka/events.yaml"
        );
    }
}
