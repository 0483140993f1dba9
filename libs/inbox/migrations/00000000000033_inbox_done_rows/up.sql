-- Whether no parked event matters to the events with these ids: none waits, and none of these was
-- parked before.
CREATE FUNCTION inbox_is_clear(the_consumer text, ids uuid[])
RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT NOT EXISTS (SELECT FROM inbox_parked WHERE consumer = the_consumer)
    OR NOT EXISTS (SELECT FROM inbox_parked
                   WHERE consumer = the_consumer AND state IN ('parked', 'replay'))
   AND NOT EXISTS (SELECT FROM inbox_parked WHERE consumer = the_consumer AND event_id = ANY(ids))
$$;

-- As before, but a row of an event that is applied or discarded slows down only the claim of that
-- event.
CREATE OR REPLACE FUNCTION inbox_accept_all(
  the_consumer text, ids uuid[], types text[], topics text[], keys text[], lock_class int
) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
  added uuid[];
  answers text[];
BEGIN
  IF inbox_is_clear(the_consumer, ids) THEN
    WITH accepted AS (
      INSERT INTO inbox (consumer, event_id, type)
      SELECT the_consumer, id, type FROM unnest(ids, types) AS event (id, type)
      ON CONFLICT DO NOTHING RETURNING event_id)
    SELECT array_agg(event_id) INTO added FROM accepted;
    -- Events that were parked before this transaction had the rows are visible only now.
    IF inbox_is_clear(the_consumer, ids) THEN
      FOR i IN 1 .. cardinality(ids) LOOP
        answers[i] := CASE WHEN ids[i] = ANY(added) AND NOT ids[i] = ANY(ids[1:i - 1])
                      THEN 'new' ELSE 'duplicate' END;
      END LOOP;
      RETURN answers;
    END IF;
    DELETE FROM inbox WHERE consumer = the_consumer AND event_id = ANY(added);
  END IF;
  -- One after the other, because one may be behind another.
  FOR i IN 1 .. cardinality(ids) LOOP
    answers[i] := inbox_accept(the_consumer, ids[i], types[i], topics[i], keys[i], lock_class);
  END LOOP;
  RETURN answers;
END
$$;

-- For the deletion of these rows after some days.
CREATE INDEX inbox_parked_done ON inbox_parked (consumer, changed_at)
WHERE state IN ('applied', 'discarded');

-- Until now a request stayed when its event had gone on.
DELETE FROM inbox_park_requests r
WHERE NOT EXISTS (SELECT FROM inbox_blocked b
                  WHERE b.consumer = r.consumer AND b.event_id = r.event_id);
