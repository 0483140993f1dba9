ALTER TABLE goods DROP COLUMN version, DROP COLUMN listed_at;
