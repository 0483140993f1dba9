DROP FUNCTION inbox_accept;
DROP TABLE inbox_operations, inbox_park_requests, inbox_blocked, inbox_parked, inbox;
