-- Adds all events of a transaction, in their order, in one round trip; fails if no service declared
-- one of their topics.
--   sleep_class: the relay holds this lock while it sleeps, and must be woken only then. A relay
--     that wants to sleep cannot get the lock while a publisher's transaction is open, so it misses
--     no event.
--   key_class: of two transactions that publish for one key the second waits until the first has
--     committed, so its position is greater and it becomes visible later. The locks are taken
--     before a position is drawn, and by all transactions in the same order, so that two of them
--     never wait for each other.
CREATE FUNCTION outbox_publish_all(
  ids uuid[], topics text[], keys text[], types text[], payloads text[], headers text[],
  sleep_class int, key_class int
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  undeclared text;
BEGIN
  SELECT topic INTO undeclared FROM unnest(topics) topic
    WHERE NOT EXISTS (SELECT FROM outbox_topics WHERE name = topic);
  IF FOUND THEN
    RAISE EXCEPTION 'outbox: this service did not declare that it publishes to topic %',
      undeclared;
  END IF;
  IF NOT pg_try_advisory_xact_lock_shared(sleep_class, 0) THEN
    PERFORM pg_notify('outbox', '');
  END IF;
  PERFORM pg_advisory_xact_lock(key_class, lock) FROM (
    SELECT DISTINCT hashtext(topic || ' ' || key) AS lock
    FROM unnest(topics, keys) AS event (topic, key) ORDER BY lock) locks;
  INSERT INTO outbox (id, topic, key, type, payload, headers)
  SELECT id, topic, key, type, payload, header
  FROM unnest(ids, topics, keys, types, payloads, headers) WITH ORDINALITY
    AS event (id, topic, key, type, payload, header, number)
  ORDER BY number;
END
$$;

-- Adds one event. Earlier versions of the services call it.
CREATE OR REPLACE FUNCTION outbox_publish(
  the_id uuid, the_topic text, the_key text, the_type text, the_payload text, the_headers text,
  sleep_class int, key_class int
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM outbox_publish_all(ARRAY[the_id], ARRAY[the_topic], ARRAY[the_key], ARRAY[the_type],
    ARRAY[the_payload], ARRAY[the_headers], sleep_class, key_class);
  RETURN true;
END
$$;
