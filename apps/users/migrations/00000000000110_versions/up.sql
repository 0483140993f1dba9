-- Counts the changes of a profile, so that a change can name the version that its caller has seen.
ALTER TABLE users ADD COLUMN version bigint NOT NULL DEFAULT 1;
