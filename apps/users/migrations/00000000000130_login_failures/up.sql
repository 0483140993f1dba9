-- How often in a row a log-in to an account failed, whether there is such an account or not; by a
-- hash of its address.
CREATE TABLE login_failures (
  account       bytea       PRIMARY KEY,
  failures      int         NOT NULL,
  failed_at     timestamptz NOT NULL DEFAULT now(),
  blocked_until timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON login_failures (failed_at);
