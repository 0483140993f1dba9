-- A suspended person cannot log in. Tokens of an earlier generation than a person's are void.
ALTER TABLE users
  ADD COLUMN status           text   NOT NULL DEFAULT 'active'
    CHECK (status IN ('active', 'suspended')),
  ADD COLUMN token_generation bigint NOT NULL DEFAULT 0;

-- The sessions of people who are logged in. Of secrets there are hashes only: family_hash of the
-- bits that all refresh tokens of a session share, refresh_hash of the current token, and
-- previous_hash of the one before it. The current token is derived from the one before it and the
-- salt.
CREATE TABLE sessions (
  id               uuid        PRIMARY KEY,
  user_id          uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
  family_hash      bytea       NOT NULL,
  refresh_hash     bytea       NOT NULL,
  previous_hash    bytea,
  salt             bytea,
  created_at       timestamptz NOT NULL DEFAULT now(),
  authenticated_at timestamptz NOT NULL DEFAULT now(),
  used_at          timestamptz NOT NULL DEFAULT now(),
  expires_at       timestamptz NOT NULL,
  network          text,
  user_agent       text
);
CREATE INDEX ON sessions (user_id, id);
CREATE INDEX ON sessions (expires_at);
