-- The relay asks for the last discarded event whenever it looks at what is parked.
CREATE INDEX outbox_parked_discarded ON outbox_parked (position) WHERE state = 'discarded';
