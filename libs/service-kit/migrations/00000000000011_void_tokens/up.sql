-- From which generation on the access tokens of a person count, as users told. Kept for as long as
-- an older one could live.
CREATE TABLE void_tokens (
  user_id    uuid        PRIMARY KEY,
  generation bigint      NOT NULL,
  heard_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON void_tokens (heard_at);
