DROP FUNCTION idempotency_begin;
DROP TABLE idempotency_keys;
