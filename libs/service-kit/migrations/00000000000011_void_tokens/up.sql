-- The first generation of a person's access tokens that counts, by the events of the service users.
-- A row is kept for as long as an older token could be valid.
CREATE TABLE void_tokens (
  user_id    uuid        PRIMARY KEY,
  generation bigint      NOT NULL,
  heard_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON void_tokens (heard_at);
