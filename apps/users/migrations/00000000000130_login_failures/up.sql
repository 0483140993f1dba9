-- How often in a row log-ins to an account failed, by a hash of its address. The account need not
-- exist.
CREATE TABLE login_failures (
  account       bytea       PRIMARY KEY,
  failures      int         NOT NULL,
  failed_at     timestamptz NOT NULL DEFAULT now(),
  blocked_until timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON login_failures (failed_at);
