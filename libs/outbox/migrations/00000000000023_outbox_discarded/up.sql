-- The relay reads the last discarded event each time that it reads the parked keys.
CREATE INDEX outbox_parked_discarded ON outbox_parked (position) WHERE state = 'discarded';
