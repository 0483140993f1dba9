-- Hashes, in PHC form, of first passwords that were in the settings at a start. Such a password
-- makes no manager again.
CREATE TABLE first_passwords (
  password_hash text        PRIMARY KEY,
  seen_at       timestamptz NOT NULL DEFAULT now()
);
