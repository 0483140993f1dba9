-- Starts over in a cluster that the cursor is not from. The rows of the outbox count as sent, or
-- all of them are sent again (from_all). The caller limits how long it waits for the lock.
CREATE FUNCTION outbox_go_on_from(
  from_all boolean, the_system_identifier bigint, the_timeline integer
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  LOCK TABLE outbox IN EXCLUSIVE MODE;
  UPDATE outbox_cursor SET acknowledged = pg_current_snapshot(), target = NULL, position = NULL,
    system_identifier = the_system_identifier, timeline = the_timeline,
    saved_by = pg_current_xact_id();
  -- The rows' transaction ids are the other cluster's: here they may be still to come.
  IF from_all THEN
    -- The rows are written again by this transaction, which the cursor's snapshot does not see.
    CREATE TEMP TABLE again ON COMMIT DROP AS SELECT * FROM outbox;
    TRUNCATE outbox;
    INSERT INTO outbox (id, topic, key, type, payload, headers, recorded_at)
    SELECT id, topic, key, type, payload, headers, recorded_at FROM again ORDER BY position;
  ELSE
    -- The oldest id of a transaction: every snapshot sees the rows.
    UPDATE outbox SET xid = '3';
  END IF;
END
$$;

-- A relay's role may read the outbox, and change it only by these two functions, which run as the
-- owner.
DO $$
DECLARE
  call text;
BEGIN
  FOREACH call IN ARRAY ARRAY['outbox_empty_bucket(int, interval)',
    'outbox_go_on_from(boolean, bigint, integer)'] LOOP
    EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp', call,
      current_schema());
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', call);
  END LOOP;
END
$$;
