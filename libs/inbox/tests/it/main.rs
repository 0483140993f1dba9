//! The inbox with real PostgreSQL and real Kafka.
#![expect(clippy::unwrap_used, reason = "a test ends with its first surprise")]

mod a_batch_with_one_failure;
mod a_blocked_event_is_parked_on_request;
mod a_damaged_batch_is_not_applied;
mod a_duplicate_has_one_effect;
mod a_name_is_used_twice;
mod a_parked_key_keeps_its_order;
mod an_event_is_believed_from_its_producer_only;
mod any_bytes_can_be_parked;
mod brokers_are_lost;
mod ended_at_every_await;
mod every_codec_is_read;
mod fixture;
mod old_rows_are_forgotten;
mod rebalances_lose_nothing;
mod rows_are_locked_in_one_order;
mod servers_go_away;
mod slow_partitions_hold_up_nobody_else;
mod what_a_failure_means;
mod what_is_done_with_costs_nothing;
mod what_kafka_deleted_is_told;
