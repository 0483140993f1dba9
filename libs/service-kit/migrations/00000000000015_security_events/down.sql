DROP VIEW security_log;
DROP FUNCTION security_events_forget;
DROP TABLE security_events;
