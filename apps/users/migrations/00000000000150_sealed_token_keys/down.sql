DROP TABLE token_key_operations;
DELETE FROM token_keys WHERE sealed IS NOT NULL;
ALTER TABLE token_keys DROP COLUMN sealed, DROP COLUMN signs, ALTER COLUMN private DROP DEFAULT;
