-- The private part of a key, encrypted under a secret that is not in this database. The release
-- before knows plain private parts only: its keys have no encrypted part, and newer keys have no
-- plain one.
ALTER TABLE token_keys ADD COLUMN sealed bytea;
ALTER TABLE token_keys ALTER COLUMN private SET DEFAULT '';
-- Whether the key signs at the moment, by the replica that polled last. For operators.
ALTER TABLE token_keys ADD COLUMN signs boolean NOT NULL DEFAULT false;

-- The changes that operators made.
CREATE TABLE token_key_operations (
  id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at        timestamptz NOT NULL DEFAULT now(),
  who       text        NOT NULL,
  operation text        NOT NULL,
  details   jsonb       NOT NULL
);
