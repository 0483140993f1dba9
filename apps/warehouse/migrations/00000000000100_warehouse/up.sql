-- Goods and their stock. The reserved pieces are the sum of the active reservations, the pieces on
-- hand the sum of the movements.
CREATE TABLE goods (
  sku       text        PRIMARY KEY,
  name      text        NOT NULL,
  price     bigint      NOT NULL CHECK (price > 0),
  on_hand   bigint      NOT NULL DEFAULT 0,
  reserved  bigint      NOT NULL DEFAULT 0,
  listed_at timestamptz NOT NULL DEFAULT now(),
  CHECK (0 <= reserved AND reserved <= on_hand)
);

-- The pieces that came and went. Rows are only added, never changed.
CREATE TABLE movements (
  id       uuid        PRIMARY KEY,
  sku      text        NOT NULL REFERENCES goods,
  kind     text        NOT NULL CHECK (kind IN ('receipt', 'shipment', 'return')),
  quantity bigint      NOT NULL CHECK (quantity <> 0),
  order_id uuid,
  at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON movements (sku, id);

-- The state of an order's goods. 'released' is also the tombstone of a stop that came before the
-- order.
CREATE TABLE parcels (
  order_id   uuid        PRIMARY KEY,
  user_id    uuid        NOT NULL,
  state      text        NOT NULL CHECK (state IN ('refused', 'reserved', 'released', 'shipped',
                                                   'returned')),
  changed_at timestamptz NOT NULL DEFAULT now()
);

-- The goods of a parcel that was reserved.
CREATE TABLE parcel_lines (
  order_id uuid   NOT NULL REFERENCES parcels,
  sku      text   NOT NULL REFERENCES goods,
  quantity bigint NOT NULL CHECK (quantity > 0),
  PRIMARY KEY (order_id, sku)
);
