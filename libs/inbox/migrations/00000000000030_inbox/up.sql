-- The events that this service has applied. A row is written in the transaction of the event's
-- handler, so an event is applied if and only if its row is here.
CREATE TABLE inbox (
  consumer   text        NOT NULL,
  event_id   uuid        NOT NULL,
  type       text        NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (consumer, event_id)
);
CREATE INDEX ON inbox USING brin (applied_at);

-- The events that could not be applied and that no retry can help, and the later events of their
-- keys, in the order of their arrival.
CREATE TABLE inbox_parked (
  seq         bigint      GENERATED ALWAYS AS IDENTITY,
  consumer    text        NOT NULL,
  event_id    uuid        NOT NULL,
  topic       text        NOT NULL,
  partition   integer     NOT NULL,
  "offset"    bigint      NOT NULL,
  key         text        NOT NULL,
  type        text        NOT NULL,
  payload     bytea       NOT NULL,
  traceparent text,
  code        text        NOT NULL,
  reason      text        NOT NULL,
  parked_at   timestamptz NOT NULL DEFAULT now(),
  -- parked: waits for an operator; replay: is applied again; applied; discarded: can still be
  -- replayed
  state       text        NOT NULL DEFAULT 'parked'
              CHECK (state IN ('parked', 'replay', 'applied', 'discarded')),
  changed_at  timestamptz NOT NULL DEFAULT now(),
  changed_by  text,
  PRIMARY KEY (consumer, event_id)
);
CREATE INDEX ON inbox_parked (consumer, topic, key, seq) WHERE state IN ('parked', 'replay');

-- The messages that are being retried. Each blocks its partition.
CREATE TABLE inbox_blocked (
  consumer  text        NOT NULL,
  topic     text        NOT NULL,
  partition integer     NOT NULL,
  event_id  uuid        NOT NULL,
  type      text        NOT NULL,
  key       text        NOT NULL,
  since     timestamptz NOT NULL DEFAULT now(),
  attempts  integer     NOT NULL DEFAULT 1,
  error     text        NOT NULL,
  PRIMARY KEY (consumer, topic, partition)
);

-- Operators' requests to park a message that blocks its partition.
CREATE TABLE inbox_park_requests (
  consumer     text        NOT NULL,
  event_id     uuid        NOT NULL,
  requested_by text        NOT NULL,
  requested_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (consumer, event_id)
);

-- The actions of operators.
CREATE TABLE inbox_operations (
  id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at        timestamptz NOT NULL DEFAULT now(),
  who       text        NOT NULL,
  operation text        NOT NULL,
  details   jsonb       NOT NULL
);

-- Claims an event for this transaction, in one round trip. Returns 'new', 'duplicate', 'known'
-- (parked before), or 'behind' (an earlier event of its key is parked). Of two transactions with
-- one event, the second waits for the first one at the event's row.
CREATE FUNCTION inbox_accept(
  the_consumer text, the_id uuid, the_type text, the_topic text, the_key text, lock_class int
) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO inbox (consumer, event_id, type) VALUES (the_consumer, the_id, the_type)
  ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    RETURN 'duplicate';
  END IF;
  IF EXISTS (SELECT FROM inbox_parked WHERE consumer = the_consumer AND event_id = the_id) THEN
    DELETE FROM inbox WHERE consumer = the_consumer AND event_id = the_id;
    RETURN 'known';
  END IF;
  IF EXISTS (SELECT FROM inbox_parked
             WHERE consumer = the_consumer AND topic = the_topic AND key = the_key
             AND state IN ('parked', 'replay')) THEN
    -- Another transaction may be replaying the last one: check again when that has ended.
    PERFORM pg_advisory_xact_lock(lock_class, hashtext(the_topic || ' ' || the_key));
    IF EXISTS (SELECT FROM inbox_parked
               WHERE consumer = the_consumer AND topic = the_topic AND key = the_key
               AND state IN ('parked', 'replay')) THEN
      DELETE FROM inbox WHERE consumer = the_consumer AND event_id = the_id;
      RETURN 'behind';
    END IF;
  END IF;
  RETURN 'new';
END
$$;
