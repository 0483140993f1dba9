-- Counts the changes of name and price, so that a manager who changes them can name the version
-- that they have seen.
ALTER TABLE goods ADD COLUMN version bigint NOT NULL DEFAULT 1;
