ALTER TABLE inbox_operations DROP COLUMN database_role;
