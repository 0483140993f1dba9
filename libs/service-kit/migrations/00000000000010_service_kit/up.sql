-- The public token keys of the last fetch, so that a service that starts while users is down can
-- verify callers.
CREATE TABLE token_key_cache (
  singleton  boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
  jwks       jsonb       NOT NULL,
  fetched_at timestamptz NOT NULL DEFAULT now()
);
