-- The version and time of the listing that was copied. An event of an older version, or of an
-- earlier time where it has no version, changes nothing.
ALTER TABLE goods ADD COLUMN version bigint NOT NULL DEFAULT 0, ADD COLUMN listed_at timestamptz;
