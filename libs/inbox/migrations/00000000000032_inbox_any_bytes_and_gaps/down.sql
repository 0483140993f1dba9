DROP TABLE inbox_gaps, inbox_positions;
ALTER TABLE inbox_parked DROP COLUMN key_bytes;
