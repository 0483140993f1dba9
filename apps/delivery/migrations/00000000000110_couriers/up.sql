-- Who delivers the parcel; none while it is free to take, and none for parcels from before.
ALTER TABLE bookings ADD COLUMN courier_id uuid;
CREATE INDEX ON bookings (courier_id, state, order_id) WHERE courier_id IS NOT NULL;
