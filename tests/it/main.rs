//! The whole store against real PostgreSQL and real Kafka: services, relays and gateway in this process, or their
//! programs where something is to be killed.
#![expect(clippy::unwrap_used, reason = "a test ends with its first surprise")]

mod harness;

mod access;
mod audited;
mod boards;
mod borders;
mod cancelled;
mod couriers;
mod deadlines;
mod delivered;
mod journal;
mod kafka_down;
mod keyed_routes;
mod labels;
mod limits;
mod lists;
mod lost_answers;
mod methods;
mod metrics;
mod newer_release;
mod one_trace;
mod operations;
mod order_shown;
mod outages;
mod overtaken;
mod pages;
mod people;
mod poison;
mod postgres_restarted;
mod preconditions;
mod prices;
mod proofs;
mod readiness;
mod redelivered;
mod refused;
mod relay_killed;
mod reordered;
mod roles;
mod same_key;
mod settings;
mod stopped;
mod streamed;
mod tls;
mod tokens;
mod told_in_order;
mod verdict;
mod verify;
mod verify_violations;
mod who_may;
mod wrong_clocks;
