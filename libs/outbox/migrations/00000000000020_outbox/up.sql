-- The outbox: the events of this service, each written in the transaction of the change that it
-- reports. Rows are only added, and removed by the truncation of whole buckets: there are no
-- updates, no dead rows and no bloat.
CREATE TABLE outbox (
  xid         xid8        NOT NULL DEFAULT pg_current_xact_id(),
  -- The order of one key's events. The sequence must keep CACHE 1, or positions of one key could
  -- step back.
  position    bigint      GENERATED ALWAYS AS IDENTITY,
  bucket      smallint    NOT NULL
    DEFAULT (floor(extract(epoch FROM clock_timestamp()) / 21600)::bigint % 6),
  id          uuid        NOT NULL,
  topic       text        NOT NULL,
  key         text        NOT NULL,
  type        text        NOT NULL,
  payload     text        NOT NULL CHECK (octet_length(payload) <= 1000000),
  headers     text,
  -- now() would be the start of the transaction.
  recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
) PARTITION BY LIST (bucket);

CREATE TABLE outbox_0 PARTITION OF outbox FOR VALUES IN (0);
CREATE TABLE outbox_1 PARTITION OF outbox FOR VALUES IN (1);
CREATE TABLE outbox_2 PARTITION OF outbox FOR VALUES IN (2);
CREATE TABLE outbox_3 PARTITION OF outbox FOR VALUES IN (3);
CREATE TABLE outbox_4 PARTITION OF outbox FOR VALUES IN (4);
CREATE TABLE outbox_5 PARTITION OF outbox FOR VALUES IN (5);

CREATE INDEX ON outbox (position);
CREATE INDEX ON outbox (xid);

-- An event of a transaction that does not commit synchronously could be seen by consumers and then
-- be lost in a crash. Checked when the transaction ends, whatever it set in between.
CREATE FUNCTION outbox_commit_is_synchronous() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') THEN
    RAISE EXCEPTION 'outbox: a transaction that publishes must commit with synchronous_commit = on';
  END IF;
  RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER commit_is_synchronous AFTER INSERT ON outbox
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION outbox_commit_is_synchronous();

-- The topics that this service may publish to.
CREATE TABLE outbox_topics (name text PRIMARY KEY);

-- Adds an event in one round trip; returns false if no service declared its topic.
--   sleep_class: the relay holds this lock while it sleeps, and must be woken only then. A relay
--     that wants to sleep cannot get the lock while a publisher's transaction is open, so it misses
--     no event.
--   key_class: of two transactions that publish for one key the second waits until the first has
--     committed, so its position is greater and it becomes visible later. The lock is taken before
--     the position is drawn.
CREATE FUNCTION outbox_publish(
  the_id uuid, the_topic text, the_key text, the_type text, the_payload text, the_headers text,
  sleep_class int, key_class int
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM outbox_topics WHERE name = the_topic) THEN
    RETURN false;
  END IF;
  IF NOT pg_try_advisory_xact_lock_shared(sleep_class, 0) THEN
    PERFORM pg_notify('outbox', '');
  END IF;
  PERFORM pg_advisory_xact_lock(key_class, hashtext(the_topic || ' ' || the_key));
  INSERT INTO outbox (id, topic, key, type, payload, headers)
  VALUES (the_id, the_topic, the_key, the_type, the_payload, the_headers);
  RETURN true;
END
$$;

-- How far the relay is: Kafka has acknowledged everything that the snapshot acknowledged sees.
-- Inside a large difference also the snapshot up to which the relay reads it (target), and the last
-- acknowledged position.
CREATE TABLE outbox_cursor (
  singleton         boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
  acknowledged      pg_snapshot NOT NULL,
  target            pg_snapshot,
  position          bigint,
  -- The cluster that the snapshot belongs to; null until a relay has seen it.
  system_identifier bigint,
  timeline          integer,
  saved_at          timestamptz NOT NULL DEFAULT now(),
  CHECK ((target IS NULL) = (position IS NULL))
);
INSERT INTO outbox_cursor (acknowledged) VALUES (pg_current_snapshot());

-- The events that Kafka refused for good, and the later ones of their keys, in the order of their
-- positions.
CREATE TABLE outbox_parked (
  position    bigint      PRIMARY KEY,
  id          uuid        NOT NULL,
  topic       text        NOT NULL,
  key         text        NOT NULL,
  type        text        NOT NULL,
  payload     text        NOT NULL,
  headers     text,
  recorded_at timestamptz NOT NULL,
  reason      text        NOT NULL,
  parked_at   timestamptz NOT NULL DEFAULT now(),
  -- parked: waits for an operator; replay: the relay sends it again; sent; discarded: can still be
  -- replayed
  state       text        NOT NULL DEFAULT 'parked'
                          CHECK (state IN ('parked', 'replay', 'sent', 'discarded')),
  changed_at  timestamptz NOT NULL DEFAULT now(),
  changed_by  text
);
CREATE INDEX ON outbox_parked (topic, key, position) WHERE state IN ('parked', 'replay');

-- The operations of operators.
CREATE TABLE outbox_operations (
  id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at        timestamptz NOT NULL DEFAULT now(),
  who       text        NOT NULL,
  operation text        NOT NULL,
  details   jsonb       NOT NULL
);

-- Empties a bucket whose rows are all acknowledged and older than the retention; returns false if
-- they are not. Under the exclusive lock no writer has an uncommitted row in it. It fails after
-- 50 ms, so that writers do not wait for longer.
CREATE FUNCTION outbox_empty_bucket(the_bucket int, retention interval) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '50ms' AS $$
DECLARE
  part regclass := format('outbox_%s', the_bucket)::regclass;
  newest timestamptz;
  newest_xid xid8;
BEGIN
  EXECUTE format('SELECT recorded_at FROM ONLY %s ORDER BY position DESC LIMIT 1', part)
    INTO newest;
  IF newest IS NULL OR newest > clock_timestamp() - retention THEN
    RETURN false;
  END IF;
  EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', part);
  EXECUTE format('SELECT recorded_at FROM ONLY %s ORDER BY position DESC LIMIT 1', part)
    INTO newest;
  EXECUTE format('SELECT xid FROM ONLY %s ORDER BY xid DESC LIMIT 1', part) INTO newest_xid;
  IF newest > clock_timestamp() - retention
     OR newest_xid >= (SELECT pg_snapshot_xmin(acknowledged) FROM outbox_cursor) THEN
    RETURN false;
  END IF;
  EXECUTE format('TRUNCATE ONLY %s', part);
  RETURN true;
END
$$;
