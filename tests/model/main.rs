//! Every way that an order can take: a model checker runs the services' own decisions in every
//! order of arrival that Kafka allows, with every refusal, stop, outcome and deletion at any
//! moment. See docs/model.md. And every way that its events can take from the outbox to Kafka, in
//! `relay`.
#![expect(clippy::unwrap_used, reason = "a test ends with its first surprise")]

mod event;
mod known;
mod one_order;
mod participants;
mod properties;
mod queues;
mod relay;
mod report;
mod routes;
mod routing;
mod saga;
mod two_orders;
mod world;
