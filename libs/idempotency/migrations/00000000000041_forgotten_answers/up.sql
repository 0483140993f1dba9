-- The key under which a forgotten answer is kept. When a user's data are deleted, their answers are
-- forgotten, but their used keys stay used: a late retry must not take effect a second time. The
-- hash does not show the caller: only a request with the same caller and key finds the row.
CREATE FUNCTION idempotency_forgotten_key(the_caller text, the_key text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN encode(sha256(convert_to(the_caller || ' ' || the_key, 'UTF8')), 'hex');

-- Whether a key was used, by any request, and is still kept.
CREATE FUNCTION idempotency_is_used(
  the_caller text, the_key text, keep_seconds double precision
) RETURNS boolean
LANGUAGE sql STABLE
RETURN EXISTS (
  SELECT FROM idempotency_keys k
  WHERE ((k.caller = the_caller AND k.key = the_key)
      OR (k.caller = 'forgotten' AND k.key = idempotency_forgotten_key(the_caller, the_key)))
    AND k.created_at >= now() - make_interval(secs => keep_seconds)
);

-- As before, but it finds forgotten keys, too.
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
  IF NOT FOUND THEN
    SELECT * INTO known FROM idempotency_keys k
    WHERE k.caller = 'forgotten' AND k.key = idempotency_forgotten_key(the_caller, the_key);
  END IF;
  IF known.key IS NOT NULL AND known.created_at < now() - make_interval(secs => keep_seconds) THEN
    DELETE FROM idempotency_keys k WHERE k.caller = known.caller AND k.key = known.key;
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
