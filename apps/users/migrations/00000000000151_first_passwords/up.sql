-- Passwords of the settings that were seen at a start, in PHC form: none of them makes a first
-- manager again.
CREATE TABLE first_passwords (
  password_hash text        PRIMARY KEY,
  seen_at       timestamptz NOT NULL DEFAULT now()
);
