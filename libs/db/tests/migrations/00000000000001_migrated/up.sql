CREATE TABLE migrated (at timestamptz NOT NULL);
INSERT INTO migrated VALUES (clock_timestamp());
