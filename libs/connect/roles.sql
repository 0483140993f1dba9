-- The roles of a service's database beside its owner. They are called after the database:
-- NAME_service, NAME_relay, NAME_reader. An administrator runs this in the database itself, as a
-- superuser, before the first start and after an upgrade that asks for it. To run it again does no
-- harm. It gives no passwords (ALTER ROLE … PASSWORD does) and no rights on tables: these the owner
-- gives after each migration.
DO $roles$
DECLARE
  base   text := current_database();
  owner  text := (
    SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()
  );
  reader text := base || '_reader';
  role   text;
  one    record;
BEGIN
  FOREACH role IN ARRAY ARRAY[base || '_service', base || '_relay', reader] LOOP
    IF octet_length(role) > 63 THEN
      RAISE EXCEPTION 'the name of the database % is too long: its roles add eight letters, '
        'and a name may have 63', base;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
      EXECUTE format('CREATE ROLE %I LOGIN', role);
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', base, role);
    -- A migration can then name the session that blocks it, and the owner can end that session.
    EXECUTE format('GRANT %I TO %I', role, owner);
  END LOOP;

  -- No other role may connect, and these three may create no object in the schema and no
  -- temporary table.
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', base);
  REVOKE CREATE ON SCHEMA public FROM PUBLIC;
  EXECUTE format('GRANT CREATE ON SCHEMA public TO %I', owner);

  -- These settings bound the load that the reader can cause.
  FOR one IN
    SELECT * FROM (VALUES
      ('default_transaction_read_only', 'on'), ('statement_timeout', '15min'),
      ('transaction_timeout', '30min'), ('idle_in_transaction_session_timeout', '5min'),
      ('idle_session_timeout', '30min'), ('lock_timeout', '10s')
    ) AS wanted (setting, value) WHERE setting IN (SELECT name FROM pg_settings)
  LOOP
    EXECUTE format('ALTER ROLE %I SET %s = %L', reader, one.setting, one.value);
  END LOOP;
  EXECUTE format('ALTER ROLE %I CONNECTION LIMIT 20', reader);

  -- Migrations, relays and consumers exclude each other by advisory locks: the reader must not
  -- hold one. It must not store large objects either. Every role may do both until a superuser
  -- revokes it.
  IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
    FOR one IN
      SELECT oid::regprocedure AS function FROM pg_proc
      WHERE pronamespace = 'pg_catalog'::regnamespace
        AND (proname ~ '^pg_(try_)?advisory_'
          OR proname IN ('lo_creat', 'lo_create', 'lo_from_bytea'))
    LOOP
      EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', one.function);
      EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I, %I, %I',
        one.function, owner, base || '_service', base || '_relay');
    END LOOP;
  ELSE
    RAISE WARNING 'only a superuser can keep % from advisory locks, '
      'by which it could stop the relay and migrations', reader;
  END IF;
END
$roles$;
