-- The used keys of callers, each with its answer, for as long as a retry may come. A row is written
-- in the transaction of the change that it stands for, and not changed afterwards.
CREATE TABLE idempotency_keys (
  caller      text        NOT NULL,
  key         text        NOT NULL,
  fingerprint bytea       NOT NULL,
  status      smallint    NOT NULL,
  headers     jsonb       NOT NULL,
  body        text        NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (caller, key)
);
CREATE INDEX ON idempotency_keys (created_at);

-- Looks up a key under its lock, which is held until the transaction ends, in one round trip. The
-- state is 'busy' while another transaction holds the lock, 'new', 'replay' with the stored answer,
-- or 'mismatch'.
CREATE FUNCTION idempotency_begin(
  the_caller text, the_key text, the_fingerprint bytea, keep_seconds double precision,
  lock_class int
)
RETURNS TABLE (state text, status smallint, headers jsonb, body text)
LANGUAGE plpgsql AS $$
DECLARE
  known idempotency_keys;
BEGIN
  IF NOT pg_try_advisory_xact_lock(lock_class, hashtext(the_caller || ' ' || the_key)) THEN
    RETURN QUERY SELECT 'busy', NULL::smallint, NULL::jsonb, NULL::text;
    RETURN;
  END IF;
  SELECT * INTO known FROM idempotency_keys k WHERE k.caller = the_caller AND k.key = the_key;
  IF FOUND AND known.created_at < now() - make_interval(secs => keep_seconds) THEN
    DELETE FROM idempotency_keys k WHERE k.caller = the_caller AND k.key = the_key;
    known := NULL;
  END IF;
  IF known.key IS NULL THEN
    RETURN QUERY SELECT 'new', NULL::smallint, NULL::jsonb, NULL::text;
  ELSIF known.fingerprint = the_fingerprint THEN
    RETURN QUERY SELECT 'replay', known.status, known.headers, known.body;
  ELSE
    RETURN QUERY SELECT 'mismatch', NULL::smallint, NULL::jsonb, NULL::text;
  END IF;
END
$$;
