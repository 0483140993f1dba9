-- Who is suspended cannot log in. Tokens of a person that are of an earlier generation do not
-- count.
ALTER TABLE users
  ADD COLUMN status           text   NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
  ADD COLUMN token_generation bigint NOT NULL DEFAULT 0;

-- Where people are logged in. Of what is secret there are hashes only: of what all refresh tokens
-- of a session share, of the one that is good now, and of the one before it, from which the salt
-- makes it.
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
