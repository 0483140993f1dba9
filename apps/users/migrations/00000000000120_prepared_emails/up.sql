-- The program decides which spellings are one address: lower() depends on the locale of the
-- database. The release before knows email only, which stays as it was written; the program fills
-- in email_prepared of the rows that it adds.
ALTER TABLE users DROP CONSTRAINT users_email_check;
ALTER TABLE users ADD COLUMN email_prepared text COLLATE "C";
CREATE UNIQUE INDEX users_email_prepared ON users (email_prepared);
CREATE INDEX users_not_prepared ON users (registered_at, id) WHERE email_prepared IS NULL;
