-- As before, but in PL/pgSQL: PostgreSQL plans a function in SQL in each transaction that calls it,
-- and one in PL/pgSQL once a session.
CREATE OR REPLACE FUNCTION inbox_is_clear(the_consumer text, ids uuid[])
RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM inbox_parked WHERE consumer = the_consumer) THEN
    RETURN true;
  END IF;
  RETURN NOT EXISTS (SELECT FROM inbox_parked
                     WHERE consumer = the_consumer AND state IN ('parked', 'replay'))
     AND NOT EXISTS (SELECT FROM inbox_parked
                     WHERE consumer = the_consumer AND event_id = ANY(ids));
END
$$;
