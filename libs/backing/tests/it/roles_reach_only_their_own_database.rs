use backing::PerRole;
use tokio_postgres::{Client, NoTls, error::SqlState};

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

fn passwords(owner: &str) -> PerRole<String> {
    PerRole {
        owner: owner.to_owned(),
        service: "a service's".to_owned(),
        relay: "a relay's".to_owned(),
        reader: "a reader's".to_owned(),
    }
}

async fn refused(client: &Client, statement: &str) {
    let error = client.batch_execute(statement).await.expect_err(statement);
    assert_eq!(
        error.code(),
        Some(&SqlState::INSUFFICIENT_PRIVILEGE),
        "{statement}: {error}"
    );
}

async fn writable(client: &Client) {
    // What a session may leave is no protection by itself.
    client
        .batch_execute("SET default_transaction_read_only = off")
        .await
        .unwrap();
}

async fn text(client: &Client, sql: &str) -> String {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn roles_reach_only_their_own_database() {
    let postgres = backing::own_postgres().await.unwrap();
    let (ones, twos) = (passwords("one's own"), passwords("two"));
    let (first, second) = tokio::join!(
        postgres.provision("first", &ones),
        postgres.provision("second", &twos)
    );
    let (first, second) = (first.unwrap(), second.unwrap());

    let owner = connect(&second.owner).await.unwrap();
    owner
        .batch_execute("CREATE TABLE mine (id int)")
        .await
        .unwrap();
    for url in [&first.owner, &first.service, &first.relay, &first.reader] {
        connect(url).await.unwrap();
        for closed in ["second", "postgres", "template1"] {
            let elsewhere = url.trim_end_matches("first").to_owned() + closed;
            let error = connect(&elsewhere).await.unwrap_err();
            let code = error.code();
            assert_eq!(
                code,
                Some(&SqlState::INSUFFICIENT_PRIVILEGE),
                "{elsewhere}: {error}"
            );
        }
    }

    // Again, as at every start of a store: the data stay, and the new password is valid.
    let again = postgres
        .provision("second", &passwords("new"))
        .await
        .unwrap();
    let owner = connect(&again.owner).await.unwrap();
    owner.batch_execute("SELECT id FROM mine").await.unwrap();
    connect(&second.owner).await.unwrap_err();
}

#[tokio::test]
async fn only_the_owner_makes_anything_and_the_others_have_what_it_gives() {
    let postgres = backing::own_postgres().await.unwrap();
    let roles = postgres.provision("shop", &passwords("own")).await.unwrap();
    let owner = connect(&roles.owner).await.unwrap();
    let given = "CREATE TABLE mine (id int); GRANT INSERT ON mine TO shop_service; GRANT SELECT \
                 ON mine TO shop_reader";
    owner.batch_execute(given).await.unwrap();
    for url in [&roles.service, &roles.relay, &roles.reader] {
        let client = connect(url).await.unwrap();
        writable(&client).await;
        for statement in [
            "CREATE TABLE theirs (id int)",
            "CREATE TEMP TABLE theirs (id int)",
            "CREATE SCHEMA theirs",
            "DROP TABLE mine",
            "ALTER TABLE mine ADD COLUMN more int",
            "TRUNCATE mine",
            "DELETE FROM mine",
        ] {
            refused(&client, statement).await;
        }
    }
    let service = connect(&roles.service).await.unwrap();
    service
        .batch_execute("INSERT INTO mine VALUES (1)")
        .await
        .unwrap();
    let reader = connect(&roles.reader).await.unwrap();
    assert_eq!(text(&reader, "SELECT id::text FROM mine").await, "1");
    let error = reader
        .batch_execute("INSERT INTO mine VALUES (2)")
        .await
        .unwrap_err();
    let code = error.code();
    assert_eq!(code, Some(&SqlState::READ_ONLY_SQL_TRANSACTION), "{error}");
}

#[tokio::test]
async fn a_reader_holds_no_advisory_lock_stores_nothing_and_is_bounded_in_time() {
    let postgres = backing::own_postgres().await.unwrap();
    let roles = postgres.provision("shop", &passwords("own")).await.unwrap();
    let reader = connect(&roles.reader).await.unwrap();
    for (setting, value) in [
        ("statement_timeout", "15min"),
        ("idle_in_transaction_session_timeout", "5min"),
        ("idle_session_timeout", "30min"),
        ("lock_timeout", "10s"),
    ] {
        let found = text(&reader, &format!("SELECT current_setting('{setting}')")).await;
        assert_eq!(found, value, "{setting}");
    }
    let locks = "SELECT count(*)::text FROM pg_proc p WHERE proname LIKE 'pg%advisory%'
        AND has_function_privilege(p.oid, 'EXECUTE')";
    assert_eq!(text(&reader, locks).await, "0");
    writable(&reader).await;
    for statement in [
        "SELECT pg_advisory_lock(4, 0)",
        "SELECT pg_try_advisory_xact_lock_shared(3, 0)",
        "SELECT lo_create(0)",
        "SELECT lo_from_bytea(0, 'much')",
    ] {
        refused(&reader, statement).await;
    }
    for url in [&roles.owner, &roles.service, &roles.relay] {
        let client = connect(url).await.unwrap();
        assert_eq!(
            text(&client, "SELECT pg_try_advisory_xact_lock(4, 0)::text").await,
            "true"
        );
    }
}

#[tokio::test]
async fn an_owner_sees_and_ends_the_sessions_of_its_other_roles() {
    let postgres = backing::own_postgres().await.unwrap();
    let roles = postgres.provision("shop", &passwords("own")).await.unwrap();
    let service = connect(&roles.service).await.unwrap();
    let pid = text(&service, "SELECT pg_backend_pid()::text").await;
    let owner = connect(&roles.owner).await.unwrap();
    let seen = format!("SELECT query FROM pg_stat_activity WHERE pid = {pid}");
    assert_eq!(text(&owner, &seen).await, "SELECT pg_backend_pid()::text");
    let ended = format!("SELECT pg_terminate_backend({pid})::text");
    assert_eq!(text(&owner, &ended).await, "true");
}

#[tokio::test]
async fn a_database_is_cloned_from_a_template() {
    let postgres = backing::own_postgres().await.unwrap();
    postgres.create_database("a template").await.unwrap();
    let client = postgres.connect("a template").await.unwrap();
    client
        .batch_execute("CREATE TABLE answers AS SELECT 42 AS answer")
        .await
        .unwrap();
    // A database that has a session cannot be copied, and the server notices a little later that
    // ours has ended.
    drop(client);
    let cloned = || async { postgres.clone_database("a template", "copy").await.is_ok() };
    crate::wait::until(
        "the copy is made",
        std::time::Duration::from_secs(10),
        cloned,
    )
    .await;

    let copy = postgres.connect("copy").await.unwrap();
    let answer: i32 = copy
        .query_one("SELECT answer FROM answers", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(answer, 42);
}
