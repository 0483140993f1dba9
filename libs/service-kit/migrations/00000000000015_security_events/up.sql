-- The acts of users, and refused proofs of identity: a row in the transaction of the act. It never
-- holds a password, a token, an e-mail address or a part of a request's body.
CREATE TABLE security_events (
  id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at       timestamptz NOT NULL DEFAULT now(),
  -- log_in, registration, password, role, deletion, manager, courier, guessing
  kind     text        NOT NULL,
  -- The id of a user, or the name of a part of the store that acts by itself.
  who      text,
  -- The operation, such as PUT /api/users/{id}/role.
  what     text        NOT NULL,
  -- The person or thing that it was about.
  whom     text,
  network  text,
  trace_id text,
  -- done, or the reason of a refusal: unauthenticated, denied, limited
  outcome  text        NOT NULL,
  -- The code of the refusal.
  reason   text
);
CREATE INDEX ON security_events (at);
CREATE INDEX ON security_events (who, at);

-- Deletes up to `batch` rows that are older than `days`, and returns how many. The service's role
-- has no right to delete rows itself; this function deletes none that is younger than thirty days.
CREATE FUNCTION security_events_forget(days int, batch int) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
  WITH forgotten AS (
    DELETE FROM security_events WHERE ctid = ANY(ARRAY(
      SELECT ctid FROM security_events WHERE at < now() - make_interval(days => greatest(days, 30))
      ORDER BY at LIMIT batch FOR UPDATE SKIP LOCKED))
    RETURNING 1)
  SELECT count(*) FROM forgotten
$$;

-- The whole log, together with what operators did by cargo tovar.
CREATE VIEW security_log AS
  SELECT at, kind, who, what, whom, network, trace_id, outcome, reason,
         NULL::text AS database_role
  FROM security_events
  UNION ALL
  SELECT at, 'operator', who, 'outbox ' || operation, details::text, NULL, NULL, 'done', NULL,
         database_role
  FROM outbox_operations
  UNION ALL
  SELECT at, 'operator', who, 'inbox ' || operation, details::text, NULL, NULL, 'done', NULL,
         database_role
  FROM inbox_operations;
