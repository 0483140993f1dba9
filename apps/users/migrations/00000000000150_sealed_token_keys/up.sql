-- The private part of a key, encrypted under a secret that is not in this database. The version
-- before knows the plain one only: a key that it made has no other, and one that was made since has
-- none of that kind.
ALTER TABLE token_keys ADD COLUMN sealed bytea;
ALTER TABLE token_keys ALTER COLUMN private SET DEFAULT '';
-- The key by which tokens are signed at the moment, as the last replica that looked has found. For
-- operators.
ALTER TABLE token_keys ADD COLUMN signs boolean NOT NULL DEFAULT false;

-- What operators did.
CREATE TABLE token_key_operations (
  id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at        timestamptz NOT NULL DEFAULT now(),
  who       text        NOT NULL,
  operation text        NOT NULL,
  details   jsonb       NOT NULL
);
