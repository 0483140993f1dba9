-- Whether nothing that was parked matters to the events with these ids: nothing waits, and none of
-- them is known.
CREATE FUNCTION inbox_is_clear(the_consumer text, ids uuid[]) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT NOT EXISTS (SELECT FROM inbox_parked WHERE consumer = the_consumer)
    OR NOT EXISTS (SELECT FROM inbox_parked WHERE consumer = the_consumer AND state IN ('parked', 'replay'))
   AND NOT EXISTS (SELECT FROM inbox_parked WHERE consumer = the_consumer AND event_id = ANY(ids))
$$;

-- As before, but a row that is done with, applied or discarded, makes no claim a slow one but that
-- of its own event.
CREATE OR REPLACE FUNCTION inbox_accept_all(
  the_consumer text, ids uuid[], types text[], topics text[], keys text[], lock_class int
) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
  added uuid[];
  answers text[];
BEGIN
  IF inbox_is_clear(the_consumer, ids) THEN
    WITH accepted AS (
      INSERT INTO inbox (consumer, event_id, type) SELECT the_consumer, id, type FROM unnest(ids, types) AS event (id, type)
      ON CONFLICT DO NOTHING RETURNING event_id)
    SELECT array_agg(event_id) INTO added FROM accepted;
    -- What was parked before this transaction had the rows is seen only now.
    IF inbox_is_clear(the_consumer, ids) THEN
      FOR i IN 1 .. cardinality(ids) LOOP
        answers[i] := CASE WHEN ids[i] = ANY(added) AND NOT ids[i] = ANY(ids[1:i - 1]) THEN 'new' ELSE 'duplicate' END;
      END LOOP;
      RETURN answers;
    END IF;
    DELETE FROM inbox WHERE consumer = the_consumer AND event_id = ANY(added);
  END IF;
  -- One after the other, as one may be behind another.
  FOR i IN 1 .. cardinality(ids) LOOP
    answers[i] := inbox_accept(the_consumer, ids[i], types[i], topics[i], keys[i], lock_class);
  END LOOP;
  RETURN answers;
END
$$;

-- For their removal some time after.
CREATE INDEX inbox_parked_done ON inbox_parked (consumer, changed_at) WHERE state IN ('applied', 'discarded');

-- Requests were never used up.
DELETE FROM inbox_park_requests r
WHERE NOT EXISTS (SELECT FROM inbox_blocked b WHERE b.consumer = r.consumer AND b.event_id = r.event_id);
