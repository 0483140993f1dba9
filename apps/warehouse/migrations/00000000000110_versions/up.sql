-- Counts the changes of name and price, so that one who changes them can say which ones they have
-- seen.
ALTER TABLE goods ADD COLUMN version bigint NOT NULL DEFAULT 1;
