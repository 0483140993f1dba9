-- The transaction that wrote the row. Where it is not the one that PostgreSQL says it is, the row
-- came from elsewhere.
ALTER TABLE outbox_cursor ADD COLUMN saved_by xid8;
