DROP TABLE outbox_operations, outbox_parked, outbox_cursor, outbox_topics, outbox;
DROP FUNCTION outbox_publish, outbox_empty_bucket, outbox_commit_is_synchronous;
