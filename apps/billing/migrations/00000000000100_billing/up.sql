-- Accounts. Their balances are a cache of the ledger: always the sum of their postings.
CREATE TABLE accounts (
  user_id   uuid        PRIMARY KEY,
  status    text        NOT NULL CHECK (status IN ('open', 'closed')),
  available bigint      NOT NULL DEFAULT 0 CHECK (available >= 0),
  held      bigint      NOT NULL DEFAULT 0 CHECK (held >= 0),
  opened_at timestamptz NOT NULL DEFAULT now(),
  CHECK (status = 'open' OR available = 0)
);

-- One movement of money; its postings sum to zero. Rows are only added, never changed.
CREATE TABLE entry_sets (
  id       uuid        PRIMARY KEY,
  user_id  uuid        NOT NULL REFERENCES accounts,
  kind     text        NOT NULL CHECK (kind IN ('top_up', 'withdrawal', 'hold', 'capture',
                                                'release', 'refund', 'payout')),
  -- The change that the owner sees: of the available money, and for a capture of the held money.
  amount   bigint      NOT NULL,
  order_id uuid,
  at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON entry_sets (user_id, id);
-- At most one of each per order.
CREATE UNIQUE INDEX ON entry_sets (order_id, kind) WHERE order_id IS NOT NULL;

CREATE TABLE postings (
  entry_set_id uuid   NOT NULL REFERENCES entry_sets,
  account      text   NOT NULL CHECK (account IN ('user_available', 'user_held', 'shop_revenue',
                                                  'outside')),
  amount       bigint NOT NULL CHECK (amount <> 0),
  PRIMARY KEY (entry_set_id, account)
);

-- The state of an order's money. 'settled' is the end of an order for which nothing was held, and
-- the tombstone of an order whose verdict came first.
CREATE TABLE holds (
  order_id   uuid        PRIMARY KEY,
  user_id    uuid        NOT NULL,
  state      text        NOT NULL CHECK (state IN ('held', 'refused', 'captured', 'released',
                                                   'refunded', 'settled')),
  amount     bigint      NOT NULL CHECK (amount >= 0),
  changed_at timestamptz NOT NULL DEFAULT now()
);
