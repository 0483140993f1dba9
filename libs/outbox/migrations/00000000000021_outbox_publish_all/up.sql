-- Adds all events of a transaction, in their order, in one round trip; fails if nobody declared a
-- topic. sleep_class: while the relay sleeps it holds this lock, and only then it must be woken. A
-- relay that wants
--     to sleep cannot get it while a publisher is under way, so no event is left behind.
--   key_class: two transactions that publish for one key take turns until they have committed, so
--   the later
--     one's position is greater and it becomes visible later. Taken before a position is drawn, and by everybody in one
--     order, so that nobody waits for each other.
CREATE FUNCTION outbox_publish_all(
  ids uuid[], topics text[], keys text[], types text[], payloads text[], headers text[], sleep_class int, key_class int
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  undeclared text;
BEGIN
  SELECT topic INTO undeclared FROM unnest(topics) topic WHERE NOT EXISTS (SELECT FROM outbox_topics WHERE name = topic);
  IF FOUND THEN
    RAISE EXCEPTION 'outbox: this service did not declare that it publishes to topic %', undeclared;
  END IF;
  IF NOT pg_try_advisory_xact_lock_shared(sleep_class, 0) THEN
    PERFORM pg_notify('outbox', '');
  END IF;
  PERFORM pg_advisory_xact_lock(key_class, lock) FROM (
    SELECT DISTINCT hashtext(topic || ' ' || key) AS lock FROM unnest(topics, keys) AS event (topic, key) ORDER BY lock) locks;
  INSERT INTO outbox (id, topic, key, type, payload, headers)
  SELECT id, topic, key, type, payload, header
  FROM unnest(ids, topics, keys, types, payloads, headers) WITH ORDINALITY
    AS event (id, topic, key, type, payload, header, number)
  ORDER BY number;
END
$$;

-- One event. Versions of the services before this one call it.
CREATE OR REPLACE FUNCTION outbox_publish(
  the_id uuid, the_topic text, the_key text, the_type text, the_payload text, the_headers text,
  sleep_class int, key_class int
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM outbox_publish_all(ARRAY[the_id], ARRAY[the_topic], ARRAY[the_key], ARRAY[the_type], ARRAY[the_payload],
    ARRAY[the_headers], sleep_class, key_class);
  RETURN true;
END
$$;
