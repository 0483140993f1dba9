ALTER TABLE outbox_operations DROP COLUMN database_role;
