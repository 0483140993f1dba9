DROP INDEX outbox_parked_discarded;
