DROP FUNCTION idempotency_is_used;
CREATE OR REPLACE FUNCTION idempotency_begin(
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
DROP FUNCTION idempotency_forgotten_key;
