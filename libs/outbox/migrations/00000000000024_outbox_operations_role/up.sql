-- The name in the column who is the operator's own word. This column has the database's role; it is
-- null for operations of before.
ALTER TABLE outbox_operations ADD COLUMN database_role text;
ALTER TABLE outbox_operations ALTER COLUMN database_role SET DEFAULT session_user;
