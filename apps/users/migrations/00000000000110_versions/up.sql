-- Counts the changes of a profile, so that one who changes it can say which one they have seen.
ALTER TABLE users ADD COLUMN version bigint NOT NULL DEFAULT 1;
