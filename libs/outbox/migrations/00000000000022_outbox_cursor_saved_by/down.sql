ALTER TABLE outbox_cursor DROP COLUMN saved_by;
