-- The bytes of a key that is not stored as it is: one that is long, or no text that can be printed.
-- `key` then holds a name for it.
ALTER TABLE inbox_parked ADD COLUMN key_bytes bytea;

-- Up to where a consumer had read a partition at some time. Kafka forgets a group's offsets when
-- the group is away for long.
CREATE TABLE inbox_positions (
  consumer  text        NOT NULL,
  topic     text        NOT NULL,
  partition integer     NOT NULL,
  -- All before this offset was done.
  next      bigint      NOT NULL,
  noted_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (consumer, topic, partition)
);

-- Messages that Kafka deleted before a consumer had read them: those from `first` on that come
-- before `next`.
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
