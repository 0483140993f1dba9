-- The column who holds the name that an operator gave. This one holds the database's role, which
-- they cannot choose; it is null for older operations.
ALTER TABLE inbox_operations ADD COLUMN database_role text;
ALTER TABLE inbox_operations ALTER COLUMN database_role SET DEFAULT session_user;
