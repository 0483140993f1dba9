-- The bytes of a key that is long, or no text that can be printed. The column key then holds a name
-- for it.
ALTER TABLE inbox_parked ADD COLUMN key_bytes bytea;

-- Up to where a consumer has read each partition, saved now and then. Kafka forgets a group's
-- offsets when the group has had no member for long.
CREATE TABLE inbox_positions (
  consumer  text        NOT NULL,
  topic     text        NOT NULL,
  partition integer     NOT NULL,
  -- Everything before this offset is done.
  next      bigint      NOT NULL,
  noted_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (consumer, topic, partition)
);

-- Gaps: messages that Kafka deleted before a consumer had read them, from offset first on, before
-- offset next.
CREATE TABLE inbox_gaps (
  id              uuid        NOT NULL DEFAULT gen_random_uuid() UNIQUE,
  consumer        text        NOT NULL,
  topic           text        NOT NULL,
  partition       integer     NOT NULL,
  first           bigint      NOT NULL,
  next            bigint      NOT NULL,
  noticed_at      timestamptz NOT NULL DEFAULT now(),
  acknowledged_at timestamptz,
  acknowledged_by text,
  PRIMARY KEY (consumer, topic, partition, first)
);
