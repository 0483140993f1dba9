-- Starts over in a cluster that the cursor is not from: what is in the outbox counts as sent, or
-- all of it is new here. The caller limits how long it waits for the lock.
CREATE FUNCTION outbox_go_on_from(from_all boolean, the_system_identifier bigint, the_timeline integer) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  LOCK TABLE outbox IN EXCLUSIVE MODE;
  UPDATE outbox_cursor SET acknowledged = pg_current_snapshot(), target = NULL, position = NULL,
    system_identifier = the_system_identifier, timeline = the_timeline, saved_by = pg_current_xact_id();
  -- The rows' transaction ids are the other cluster's: here they may be still to come.
  IF from_all THEN
    -- As rows of this transaction they are new here.
    CREATE TEMP TABLE again ON COMMIT DROP AS SELECT * FROM outbox;
    TRUNCATE outbox;
    INSERT INTO outbox (id, topic, key, type, payload, headers, recorded_at)
    SELECT id, topic, key, type, payload, headers, recorded_at FROM again ORDER BY position;
  ELSE
    -- As old as can be, so that every snapshot sees them.
    UPDATE outbox SET xid = '3';
  END IF;
END
$$;

-- A relay reads the outbox and adds nothing to it. What it may do to it beyond that is in these
-- two, which run as the owner.
DO $$
DECLARE
  call text;
BEGIN
  FOREACH call IN ARRAY ARRAY['outbox_empty_bucket(int, interval)', 'outbox_go_on_from(boolean, bigint, integer)'] LOOP
    EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp', call, current_schema());
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', call);
  END LOOP;
END
$$;
