CREATE OR REPLACE FUNCTION inbox_is_clear(the_consumer text, ids uuid[])
RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT NOT EXISTS (SELECT FROM inbox_parked WHERE consumer = the_consumer)
    OR NOT EXISTS (SELECT FROM inbox_parked
                   WHERE consumer = the_consumer AND state IN ('parked', 'replay'))
   AND NOT EXISTS (SELECT FROM inbox_parked WHERE consumer = the_consumer AND event_id = ANY(ids))
$$;
