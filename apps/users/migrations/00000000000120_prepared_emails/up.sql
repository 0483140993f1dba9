-- Which spellings are one address is decided by the program: lower() depends on the locale of the
-- database. The version before knows email only, which stays as it was written; of what it adds,
-- the program fills in the rest.
ALTER TABLE users DROP CONSTRAINT users_email_check;
ALTER TABLE users ADD COLUMN email_prepared text COLLATE "C";
CREATE UNIQUE INDEX users_email_prepared ON users (email_prepared);
CREATE INDEX users_not_prepared ON users (registered_at, id) WHERE email_prepared IS NULL;
