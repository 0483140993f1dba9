-- People. An address belongs to one of them, whatever its case.
CREATE TABLE users (
  id            uuid        PRIMARY KEY,
  email         text        NOT NULL UNIQUE CHECK (email = lower(email)),
  name          text        NOT NULL,
  password_hash text        NOT NULL,
  role          text        NOT NULL CHECK (role IN ('customer', 'courier', 'manager')),
  registered_at timestamptz NOT NULL DEFAULT now()
);

-- Keys that sign access tokens. The newest signs; all that are here verify.
CREATE TABLE token_keys (
  kid        text        PRIMARY KEY,
  private    bytea       NOT NULL,
  public     bytea       NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
