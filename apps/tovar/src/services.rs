//! The six services as the command line knows them.

/// A service's name, and the topic that it publishes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServiceInfo {
    pub name: &'static str,
    /// The variable by which the gateway is told its address.
    pub gateway_variable: &'static str,
    /// Notifications publishes nothing, but has an outbox like everyone.
    pub topic: Option<&'static str>,
}

const fn info(
    name: &'static str,
    gateway_variable: &'static str,
    topic: Option<&'static str>,
) -> ServiceInfo {
    ServiceInfo {
        name,
        gateway_variable,
        topic,
    }
}

/// users comes first: it has the token keys.
pub const SERVICES: [ServiceInfo; 6] = [
    info("users", "USERS_URL", Some(contracts::users::TOPIC)),
    info("billing", "BILLING_URL", Some(contracts::billing::TOPIC)),
    info("orders", "ORDERS_URL", Some(contracts::orders::TOPIC)),
    info("warehouse", "WAREHOUSE_URL", Some(contracts::warehouse::TOPIC)),
    info("delivery", "DELIVERY_URL", Some(contracts::delivery::TOPIC)),
    info("notifications", "NOTIFICATIONS_URL", None),
];
