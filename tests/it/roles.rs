//! Each role of a service's database may do what docs/rights.md says, and no more.

use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

use connect::DatabaseRole;
use serde_json::json;
use tokio_postgres::{Client, error::SqlState};

use crate::harness::{MustSucceed, SERVICES, Store, session};

/// Each table and function of a database with what a role may do with it; nothing is an empty text.
const RIGHTS: &str = "
    WITH role AS (SELECT current_database() || $1 AS name),
    tables AS (
      SELECT c.oid, c.relname::text AS object FROM pg_class c
      WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')),
    whole AS (
      SELECT oid, p AS privilege FROM tables, role,
        unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) p
      WHERE has_table_privilege(role.name, oid, p)),
    columns AS (
      SELECT oid, p || ' (' || string_agg(attname, ', ' ORDER BY attnum) || ')' AS privilege FROM \
      tables, role,
        pg_attribute a, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) p
      WHERE attrelid = oid AND attnum > 0 AND NOT attisdropped AND has_column_privilege(role.name, \
      oid, attnum, p)
        AND NOT has_table_privilege(role.name, oid, p)
      GROUP BY oid, p)
    SELECT object, coalesce((SELECT string_agg(privilege, ', ') FROM (TABLE whole UNION ALL TABLE \
    columns) r
      WHERE r.oid = tables.oid), '') FROM tables
    UNION ALL SELECT proname || '()', CASE WHEN has_function_privilege(role.name, p.oid, \
    'EXECUTE') THEN 'EXECUTE' ELSE '' END
      FROM pg_proc p, role WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT relname || ' (sequence)', concat_ws(', ',
        CASE WHEN has_sequence_privilege(role.name, s.oid, 'USAGE') THEN 'USAGE' END,
        CASE WHEN has_sequence_privilege(role.name, s.oid, 'UPDATE') THEN 'UPDATE' END)
      FROM pg_class s, role WHERE s.relnamespace = 'public'::regnamespace AND s.relkind = 'S'
    ORDER BY 1";

/// What the service, the relay and the reader may do with each object.
type Rights = BTreeMap<String, [String; 3]>;

async fn rights(client: &Client) -> Rights {
    let mut found = Rights::new();
    for (at, role) in DatabaseRole::ALL.into_iter().enumerate() {
        for row in client.query(RIGHTS, &[&role.suffix()]).await.unwrap() {
            found.entry(row.get(0)).or_default()[at] = row.get(1);
        }
    }
    found
}

fn table(title: &str, rights: &Rights) -> String {
    let mut text = format!(
        "## {title}\n\n| table or function | service | relay | reader |\n|---|---|---|---|\n"
    );
    for (object, roles) in rights {
        let [service, relay, reader] = roles
            .each_ref()
            .map(|may| if may.is_empty() { "–" } else { may });
        let _ = writeln!(text, "| `{object}` | {service} | {relay} | {reader} |");
    }
    text + "\n"
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_what_is_written_down_and_no_more() {
    let store = Store::start().await;
    let mut own = BTreeMap::new();
    for service in SERVICES {
        own.insert(service, rights(&store.sql(service).await).await);
    }
    store.end().await;
    // The tables that all services have come from the libraries.
    let mut shared = own["users"].clone();
    shared.retain(|object, roles| {
        own.values()
            .all(|rights| rights.get(object) == Some(&*roles))
    });
    for rights in own.values_mut() {
        rights.retain(|object, _| !shared.contains_key(object));
    }

    let mut text = "# Who may do what in a service's database\n\n\
        `UPDATE_RIGHTS=1 cargo test -p tovar-tests --test it roles::each_role` writes this page, \
        and the same test\nwithout the variable compares it. The rights of each role are declared \
        next to the migrations: `RIGHTS` of\na service's `store/rights.rs` and of each library \
        that has tables. The owner may do all. How the roles are\nmade is in \
        [deploy.md](deploy.md#roles-of-a-database).\n\n"
        .to_owned();
    text += &table("Every database", &shared);
    for service in SERVICES {
        text += &table(service, &own[service]);
    }
    let text = text.trim_end().to_owned() + "\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rights.md");
    if std::env::var_os("UPDATE_RIGHTS").is_some() {
        fs::write(&file, &text).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        text, written,
        "docs/rights.md says otherwise; see its first lines"
    );

    // What no role but the owner touches is meant so: a table that a migration adds needs a line in
    // RIGHTS.
    for (object, roles) in own.values().chain([&shared]).flatten() {
        let is_owners = object.starts_with("outbox_0")
            || (object.starts_with("outbox_") && object[7..].parse::<u8>().is_ok())
            || [
                "inbox_operations",
                "token_key_operations",
                "outbox_commit_is_synchronous()",
            ]
            .contains(&object.as_str())
            || object.ends_with("(sequence)");
        let has_service = roles.iter().any(|may| !may.is_empty());
        assert!(
            has_service || is_owners,
            "{object}: no role may do anything with it; see RIGHTS"
        );
    }
}

async fn refused(client: &Client, statement: &str) {
    let Err(error) = client.batch_execute(statement).await else {
        panic!("it was done: {statement}");
    };
    let code = error.code();
    assert_eq!(
        code,
        Some(&SqlState::INSUFFICIENT_PRIVILEGE),
        "{statement}: {error}"
    );
}

/// A session of a role that has left all that a session can leave.
async fn session_of(store: &Store, service: &str, role: DatabaseRole) -> Client {
    let client = session(store.databases[service].of(role)).await;
    let free = "SET default_transaction_read_only = off; SET statement_timeout = 0; SET \
        lock_timeout = '1s'";
    client.batch_execute(free).await.unwrap();
    client
}

async fn tables(store: &Store, service: &str) -> Vec<String> {
    let sql = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND \
        relkind IN ('r', 'p')";
    let rows = store.sql(service).await.query(sql, &[]).await.unwrap();
    assert!(rows.len() > 15, "{}", rows.len());
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_reads_no_key_no_hash_no_address_and_no_kept_answer_and_writes_nothing() {
    let store = Store::start().await;
    store.new_user("customer").await;
    let reader = session_of(&store, "users", DatabaseRole::Reader).await;
    for statement in [
        "SELECT private FROM token_keys",
        "SELECT kid FROM token_keys",
        "SELECT password_hash FROM users",
        "SELECT email FROM users",
        "SELECT email_prepared FROM users",
        "SELECT name FROM users",
        "SELECT * FROM users",
        "SELECT users FROM users",
        "SELECT body FROM idempotency_keys",
        "SELECT account FROM login_failures",
        "SELECT refresh_hash FROM sessions",
        "SELECT network FROM sessions",
        "SELECT sealed FROM token_keys",
        "SELECT password_hash FROM first_passwords",
        "SELECT network FROM security_log",
        "SELECT * FROM security_events",
        "COPY users TO STDOUT",
    ] {
        refused(&reader, statement).await;
    }
    for service in SERVICES {
        let reader = session_of(&store, service, DatabaseRole::Reader).await;
        for table in tables(&store, service).await {
            for statement in [
                format!("INSERT INTO {table} DEFAULT VALUES"),
                format!("DELETE FROM {table}"),
                format!("TRUNCATE {table}"),
                format!("DO $$ BEGIN LOCK TABLE {table} IN ROW SHARE MODE; END $$"),
            ] {
                refused(&reader, &statement).await;
            }
        }
        refused(&reader, "SELECT outbox_empty_bucket(0, '0 s')").await;
        refused(&reader, "SELECT outbox_go_on_from(true, 0, 0)").await;
    }
    store.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_stops_neither_a_relay_nor_a_migration_by_a_lock() {
    let mut store = Store::start().await;
    store.kill_relay("users");
    let reader = session_of(&store, "users", DatabaseRole::Reader).await;
    // The locks of the relay, of migrations, and of transactions that publish.
    for lock in [
        "pg_advisory_lock(4, 0)",
        "pg_try_advisory_lock(4, 0)",
        "pg_advisory_lock(1, 0)",
        "pg_advisory_xact_lock(3, 0)",
        "pg_advisory_lock_shared(4, 0)",
        "pg_advisory_lock(17179869184)",
    ] {
        refused(&reader, &format!("SELECT {lock}")).await;
    }
    store.start_relay("users").await;
    store.new_user("customer").await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_reads_no_table_of_its_service_and_adds_nothing_to_the_outbox() {
    let store = Store::start().await;
    let ours = ["outbox", "outbox_cursor", "outbox_parked"];
    for service in SERVICES {
        let relay = session_of(&store, service, DatabaseRole::Relay).await;
        for table in tables(&store, service).await {
            refused(&relay, &format!("DELETE FROM {table}")).await;
            refused(&relay, &format!("TRUNCATE {table}")).await;
            refused(&relay, &format!("DROP TABLE {table}")).await;
            if !ours.contains(&table.as_str()) {
                refused(&relay, &format!("SELECT FROM {table}")).await;
                refused(&relay, &format!("INSERT INTO {table} DEFAULT VALUES")).await;
            }
        }
        for statement in [
            "INSERT INTO outbox (id, topic, key, type, payload) VALUES (gen_random_uuid(), \
             'users', 'k', 'users.deleted.v1', '{}')",
            "UPDATE outbox SET payload = '{}'",
            "SELECT outbox_publish(gen_random_uuid(), 'users', 'k', 'users.deleted.v1', '{}', \
             NULL, 3, 2)",
        ] {
            refused(&relay, statement).await;
        }
    }
    store.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_changes_no_table_empties_none_and_does_not_write_what_operators_did() {
    let store = Store::start().await;
    for service in SERVICES {
        let role = session_of(&store, service, DatabaseRole::Service).await;
        for table in tables(&store, service).await {
            for statement in [
                format!("DROP TABLE {table}"),
                format!("ALTER TABLE {table} ADD COLUMN more int"),
                format!("ALTER TABLE {table} DISABLE TRIGGER ALL"),
                format!("ALTER TABLE {table} OWNER TO CURRENT_USER"),
                format!("CREATE INDEX ON {table} ((1))"),
                format!("TRUNCATE {table}"),
            ] {
                refused(&role, &statement).await;
            }
        }
        for statement in [
            "DROP TRIGGER commit_is_synchronous ON outbox",
            "CREATE OR REPLACE FUNCTION outbox_commit_is_synchronous() RETURNS trigger LANGUAGE \
             plpgsql AS 'BEGIN RETURN NULL; END'",
            "CREATE TABLE mine (id int)",
            "CREATE TEMP TABLE outbox (id int)",
            "INSERT INTO outbox_operations (who, operation, details) VALUES ('me', 'discard', \
             '{}')",
            "DELETE FROM outbox_operations",
            "INSERT INTO inbox_operations (who, operation, details) VALUES ('me', 'discard', '{}')",
            "UPDATE security_events SET who = NULL",
            "DELETE FROM security_events",
            "UPDATE outbox_cursor SET acknowledged = pg_current_snapshot()",
            "DELETE FROM outbox",
            "SELECT outbox_empty_bucket(0, '0 s')",
            "SET session_replication_role = replica",
        ] {
            refused(&role, statement).await;
        }
    }
    let users = session_of(&store, "users", DatabaseRole::Service).await;
    refused(&users, "SELECT FROM token_key_operations").await;
    refused(&users, "DELETE FROM first_passwords").await;
    let ledger = session_of(&store, "billing", DatabaseRole::Service).await;
    refused(&ledger, "UPDATE postings SET amount = amount + 1").await;
    refused(&ledger, "DELETE FROM entry_sets").await;
    store.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_acts_as_the_owner_and_what_they_did_is_recorded() {
    let store = Store::start().await;
    let person =
        json!({ "email": "ada@example.org", "password": "a good password", "name": "Ada" });
    store.guest.ok_post("/api/users", &person).await;
    let mut owner = session(&store.databases["users"].owner).await;
    let row = owner
        .query_one("SELECT id FROM outbox LIMIT 1", &[])
        .await
        .unwrap();
    let published = outbox::log::publish_again(&mut owner, row.get(0), "an operator").await;
    assert!(published.unwrap());
    let recorded = "SELECT count(*) FROM outbox_operations WHERE who = 'an operator'";
    let row = owner.query_one(recorded, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
    store.stop().await;
}
