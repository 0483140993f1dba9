-- The notifications of each user. A row has the id of its event, so no event has two.
CREATE TABLE notifications (
  id       uuid        PRIMARY KEY,
  user_id  uuid        NOT NULL,
  kind     text        NOT NULL CHECK (kind IN ('registered', 'topped_up', 'withdrawn', 'shipped',
                                                'delivered', 'rejected', 'cancelled', 'refunded')),
  order_id uuid        CHECK ((order_id IS NULL)
                              = (kind IN ('registered', 'topped_up', 'withdrawn'))),
  text     text        NOT NULL CHECK (text <> ''),
  -- Not now(), which is the same for all rows of a transaction: they keep their sequence.
  at       timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- For the pages of a user's notifications, newest first.
CREATE INDEX notifications_of_user ON notifications (user_id, at DESC, id DESC);

-- An order has one notification of its end and one of its shipment, however many events say so.
CREATE UNIQUE INDEX notifications_one_outcome ON notifications (order_id)
  WHERE kind IN ('delivered', 'rejected', 'cancelled', 'refunded');
CREATE UNIQUE INDEX notifications_one_shipment ON notifications (order_id) WHERE kind = 'shipped';
