DROP FUNCTION outbox_publish, outbox_publish_all;
