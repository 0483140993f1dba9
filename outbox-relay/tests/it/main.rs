//! The relay against real PostgreSQL and real Kafka. Every test has its own database and its own
//! topics.
#![expect(clippy::unwrap_used, reason = "a test ends with its first surprise")]

mod acknowledged_is_on_the_topic;
mod buckets;
mod cloudevents;
mod database_crash;
mod drain;
mod ended_at_every_await;
mod frozen;
mod guards;
mod kafka;
mod key_order;
mod killed_at_random;
mod large_events;
mod late_commits;
mod leaders_move;
mod parked;
mod pooled;
mod process;
mod sleep_gate;
mod slow_line;
mod standstill;
mod store;
mod takeover;
