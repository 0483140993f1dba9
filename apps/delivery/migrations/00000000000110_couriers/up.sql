-- The courier who delivers the parcel; null while it is free to take, and for parcels of earlier
-- releases.
ALTER TABLE bookings ADD COLUMN courier_id uuid;
CREATE INDEX ON bookings (courier_id, state, order_id) WHERE courier_id IS NOT NULL;
