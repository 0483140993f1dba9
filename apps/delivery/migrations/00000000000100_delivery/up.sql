-- Zones that are served, and how their parcels are handed over.
CREATE TABLE zones (
  zone     text PRIMARY KEY,
  handover text NOT NULL CHECK (handover IN ('locker', 'courier'))
);

-- Time slots with their places.
CREATE TABLE slots (
  id        uuid        PRIMARY KEY,
  zone      text        NOT NULL REFERENCES zones,
  starts_at timestamptz NOT NULL,
  ends_at   timestamptz NOT NULL,
  capacity  bigint      NOT NULL CHECK (capacity > 0),
  booked    bigint      NOT NULL DEFAULT 0,
  CHECK (starts_at < ends_at),
  CHECK (0 <= booked AND booked <= capacity)
);
CREATE INDEX ON slots (zone, starts_at, id);

-- The state of an order's delivery. 'freed' is also the tombstone of a verdict that came before the
-- order.
CREATE TABLE bookings (
  order_id   uuid        PRIMARY KEY,
  user_id    uuid        NOT NULL,
  state      text        NOT NULL CHECK (state IN ('refused', 'booked', 'out_for_delivery',
                                                   'delivered', 'failed', 'freed')),
  zone       text,
  slot_id    uuid        REFERENCES slots,
  handover   text,
  changed_at timestamptz NOT NULL DEFAULT now(),
  CHECK (state IN ('refused', 'freed')
         OR (zone IS NOT NULL AND slot_id IS NOT NULL AND handover IS NOT NULL))
);
CREATE INDEX ON bookings (state, order_id);
