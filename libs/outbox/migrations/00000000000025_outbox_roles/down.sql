DROP FUNCTION outbox_go_on_from;
ALTER FUNCTION outbox_empty_bucket(int, interval) SECURITY INVOKER RESET search_path;
GRANT EXECUTE ON FUNCTION outbox_empty_bucket(int, interval) TO PUBLIC;
