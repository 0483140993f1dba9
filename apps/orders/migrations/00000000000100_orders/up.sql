-- Orders. What is derived from their facts is kept with them, for lists and filters.
CREATE TABLE orders (
  id              uuid        PRIMARY KEY,
  user_id         uuid        NOT NULL,
  -- The caller's Idempotency-Key, kept beyond its lifetime: it proves that no order was placed
  -- twice.
  idempotency_key text        NOT NULL,
  zone            text        NOT NULL,
  slot_id         uuid        NOT NULL,
  currency        text        NOT NULL,
  total           bigint      NOT NULL CHECK (total > 0),
  status          text        NOT NULL,
  outcome_reason  text,
  deadline        timestamptz,
  placed_at       timestamptz NOT NULL
);
CREATE INDEX ON orders (user_id, id);
CREATE INDEX ON orders (deadline) WHERE deadline IS NOT NULL;

CREATE TABLE order_lines (
  order_id   uuid   NOT NULL REFERENCES orders,
  sku        text   NOT NULL,
  quantity   bigint NOT NULL CHECK (quantity > 0),
  unit_price bigint NOT NULL CHECK (unit_price > 0),
  PRIMARY KEY (order_id, sku)
);

-- The facts of an order. A fact is added once and never changed.
CREATE TABLE order_facts (
  order_id uuid        NOT NULL REFERENCES orders,
  kind     text        NOT NULL,
  fact     jsonb       NOT NULL,
  at       timestamptz NOT NULL,
  PRIMARY KEY (order_id, kind)
);

-- A copy of the goods that the warehouse lists. An order takes its prices from here.
CREATE TABLE goods (
  sku   text   PRIMARY KEY,
  name  text   NOT NULL,
  price bigint NOT NULL CHECK (price > 0)
);
