-- What each user was told. A row is called after the event that it tells of, so no event is told
-- twice.
CREATE TABLE notifications (
  id       uuid        PRIMARY KEY,
  user_id  uuid        NOT NULL,
  kind     text        NOT NULL CHECK (kind IN ('registered', 'topped_up', 'withdrawn', 'shipped',
                                                'delivered', 'rejected', 'cancelled', 'refunded')),
  order_id uuid        CHECK ((order_id IS NULL) = (kind IN ('registered', 'topped_up', 'withdrawn'))),
  text     text        NOT NULL CHECK (text <> ''),
  -- Not now(): events that share a transaction keep their order.
  at       timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A user's pages, newest first.
CREATE INDEX notifications_of_user ON notifications (user_id, at DESC, id DESC);

-- An order ends once, and leaves the house at most once, whatever number of events say so.
CREATE UNIQUE INDEX notifications_one_outcome ON notifications (order_id)
  WHERE kind IN ('delivered', 'rejected', 'cancelled', 'refunded');
CREATE UNIQUE INDEX notifications_one_shipment ON notifications (order_id) WHERE kind = 'shipped';
