use backing::PerRole;
use connect::{DatabaseRole, Secret};
use db::{DbSettings, MigrateError, Migrations, Rights, migrate};
use tokio_postgres::{Client, NoTls, error::SqlState};

/// The migrations of one release, and below those of the next, in which the rights differ.
const SETS: [Migrations; 1] = [Migrations::new(
    diesel_migrations::embed_migrations!("tests/release"),
    &[
        Rights::of_table("notes")
            .service("SELECT, INSERT")
            .reader("SELECT (at)"),
        Rights::of_table("other").service("SELECT"),
    ],
)];
const NEWER: [Migrations; 1] = [Migrations::new(
    diesel_migrations::embed_migrations!("tests/next_release"),
    &[
        Rights::of_table("notes").service("SELECT, INSERT, UPDATE"),
        Rights::of_table("more").service("SELECT"),
    ],
)];

async fn roles() -> PerRole<String> {
    let postgres = &backing::shared().await.unwrap().postgres;
    let name = format!("db{}", uuid::Uuid::new_v4().simple());
    let passwords = PerRole {
        owner: "an owner's".to_owned(),
        service: "a service's".to_owned(),
        relay: "a relay's".to_owned(),
        reader: "a reader's".to_owned(),
    };
    postgres.provision(&name, &passwords).await.unwrap()
}

fn settings(roles: &PerRole<String>) -> DbSettings {
    DbSettings {
        migration_database_url: Some(Secret::new(&roles.owner)),
        ..DbSettings::new(&roles.service)
    }
}

async fn may(roles: &PerRole<String>, role: DatabaseRole, statement: &str) -> bool {
    let (client, connection) = tokio_postgres::connect(roles.of(role), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    is_done(&client, statement).await
}

async fn is_done(client: &Client, statement: &str) -> bool {
    let Err(error) = client.batch_execute(statement).await else {
        return true;
    };
    let code = error.code();
    assert_eq!(
        code,
        Some(&SqlState::INSUFFICIENT_PRIVILEGE),
        "{statement}: {error}"
    );
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_migrates_and_gives_the_others_their_rights() {
    let roles = roles().await;
    migrate(&settings(&roles), SETS.into()).await.unwrap();
    let service = DatabaseRole::Service;
    assert!(may(&roles, service, "INSERT INTO notes SELECT * FROM notes").await);
    assert!(!may(&roles, service, "DELETE FROM notes").await);
    assert!(may(&roles, DatabaseRole::Reader, "SELECT at FROM notes").await);
    assert!(!may(&roles, DatabaseRole::Reader, "SELECT FROM other").await);
    assert!(!may(&roles, DatabaseRole::Relay, "SELECT FROM notes").await);

    // The next release gives and takes rights.
    migrate(&settings(&roles), NEWER.into()).await.unwrap();
    assert!(may(&roles, service, "UPDATE notes SET at = at").await);
    assert!(may(&roles, service, "SELECT FROM more").await);
    assert!(!may(&roles, DatabaseRole::Reader, "SELECT at FROM notes").await);

    // A service that was rolled back leaves them: processes of the next release may still run.
    migrate(&settings(&roles), SETS.into()).await.unwrap();
    assert!(may(&roles, service, "UPDATE notes SET at = at").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_before_that_read_all_tables_reads_them_no_more() {
    let roles = roles().await;
    let (owner, connection) = tokio_postgres::connect(&roles.owner, NoTls).await.unwrap();
    tokio::spawn(connection);
    let before = "DO $$ BEGIN EXECUTE format(
          'ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO %I',
          current_database() || '_reader'); END $$";
    owner.batch_execute(before).await.unwrap();
    migrate(&settings(&roles), SETS.into()).await.unwrap();
    assert!(!may(&roles, DatabaseRole::Reader, "SELECT FROM other").await);
    assert!(may(&roles, DatabaseRole::Reader, "SELECT at FROM notes").await);
    owner
        .batch_execute("CREATE TABLE later (n int)")
        .await
        .unwrap();
    assert!(!may(&roles, DatabaseRole::Reader, "SELECT FROM later").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_migrate_looks_whether_it_must() {
    let roles = roles().await;
    let service = DbSettings::new(&roles.service);
    let behind = migrate(&service, SETS.into()).await.unwrap_err();
    assert!(matches!(behind, MigrateError::Behind { .. }), "{behind}");
    let told = behind.to_string();
    assert!(
        told.contains("00000000000001") && told.contains("MIGRATION_DATABASE_URL"),
        "{told}"
    );

    migrate(&DbSettings::new(&roles.owner), SETS.into())
        .await
        .unwrap();
    migrate(&service, SETS.into()).await.unwrap();
    let behind = migrate(&service, NEWER.into())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        behind.contains("00000000000002") && !behind.contains("00000000000001"),
        "{behind}"
    );
}
