use tokio_postgres::{Client, NoTls, error::SqlState};

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

#[tokio::test]
async fn roles_reach_only_their_own_database() {
    let postgres = backing::own_postgres().await.unwrap();
    let (first, second) = tokio::join!(
        postgres.provision("first", "one's own"),
        postgres.provision("second", "two")
    );
    let (first, second) = (first.unwrap(), second.unwrap());

    connect(&second)
        .await
        .unwrap()
        .batch_execute("CREATE TABLE mine (id int)")
        .await
        .unwrap();
    for closed in ["second", "postgres", "template1"] {
        let elsewhere = first.trim_end_matches("first").to_owned() + closed;
        let error = connect(&elsewhere).await.unwrap_err();
        assert_eq!(
            error.code().map(SqlState::code),
            Some("42501"),
            "{closed}: {error}"
        );
    }

    // Again, as at every start of a store: data stay, the new password is the valid one.
    let again = postgres.provision("second", "new").await.unwrap();
    connect(&again)
        .await
        .unwrap()
        .batch_execute("SELECT id FROM mine")
        .await
        .unwrap();
    connect(&second).await.unwrap_err();
}

#[tokio::test]
async fn a_reader_sees_every_table_and_changes_none() {
    let postgres = backing::own_postgres().await.unwrap();
    let owner = postgres.provision("shop", "one's own").await.unwrap();
    let owner = connect(&owner).await.unwrap();
    owner.batch_execute("CREATE TABLE before (id int)").await.unwrap();
    let reader = postgres.provision_reader("shop", "a reader's").await.unwrap();
    // As at every start of a store.
    assert_eq!(
        postgres.provision_reader("shop", "a reader's").await.unwrap(),
        reader
    );
    let later = "CREATE TABLE later (id int) PARTITION BY LIST (id);
                 CREATE TABLE later_1 PARTITION OF later FOR VALUES IN (1)";
    owner.batch_execute(later).await.unwrap();

    let reader_client = connect(&reader).await.unwrap();
    for table in ["before", "later", "later_1"] {
        let read = format!("SELECT id FROM {table}");
        reader_client.batch_execute(&read).await.unwrap();
        let error = reader_client
            .batch_execute(&format!("INSERT INTO {table} VALUES (1)"))
            .await
            .unwrap_err();
        assert_eq!(error.code().map(SqlState::code), Some("25006"), "{error}");
        // A session can leave the mode, but not the privileges.
        let error = reader_client
            .batch_execute(&format!(
                "SET transaction_read_only = off; INSERT INTO {table} VALUES (1)"
            ))
            .await
            .unwrap_err();
        assert_eq!(error.code().map(SqlState::code), Some("42501"), "{error}");
    }
    postgres.provision("other", "two").await.unwrap();
    connect(&reader.replace("/shop", "/other")).await.unwrap_err();
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
    // A database that somebody is connected to cannot be copied; the server learns a little later that we left.
    drop(client);
    let cloned = || async { postgres.clone_database("a template", "copy").await.is_ok() };
    crate::wait::until("the copy is made", std::time::Duration::from_secs(10), cloned).await;

    let copy = postgres.connect("copy").await.unwrap();
    let answer: i32 = copy
        .query_one("SELECT answer FROM answers", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(answer, 42);
}
