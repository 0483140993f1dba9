-- The transaction that wrote the row, by its own account. If PostgreSQL names another one (xmin),
-- the row was written in another cluster and copied here.
ALTER TABLE outbox_cursor ADD COLUMN saved_by xid8;
