DROP INDEX inbox_parked_done;
-- Claims events for this transaction, all in one round trip. Returns an answer for each, in their
-- order: 'new', 'duplicate', 'known' (parked before), or 'behind' (an earlier event of its key is
-- parked). Of two transactions with one event, the second waits for the first one at the event's
-- row.
CREATE OR REPLACE FUNCTION inbox_accept_all(
  the_consumer text, ids uuid[], types text[], topics text[], keys text[], lock_class int
) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
  added uuid[];
  answers text[];
BEGIN
  IF NOT EXISTS (SELECT FROM inbox_parked WHERE consumer = the_consumer) THEN
    WITH accepted AS (
      INSERT INTO inbox (consumer, event_id, type)
      SELECT the_consumer, id, type FROM unnest(ids, types) AS event (id, type)
      ON CONFLICT DO NOTHING RETURNING event_id)
    SELECT array_agg(event_id) INTO added FROM accepted;
    -- Events that were parked before this transaction had the rows are visible only now.
    IF NOT EXISTS (SELECT FROM inbox_parked WHERE consumer = the_consumer) THEN
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
DROP FUNCTION inbox_is_clear;
