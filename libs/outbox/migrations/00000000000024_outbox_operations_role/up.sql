-- Who an operator is, they say themselves. The database's role is beside it; of what was done
-- before, it is not known.
ALTER TABLE outbox_operations ADD COLUMN database_role text;
ALTER TABLE outbox_operations ALTER COLUMN database_role SET DEFAULT session_user;
