ALTER TABLE users DROP COLUMN email_prepared;
ALTER TABLE users ADD CONSTRAINT users_email_check CHECK (email = lower(email)) NOT VALID;
