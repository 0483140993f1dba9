use db::{DbError, DeferredWrite, LockedRow, Tx};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{Array, Integer},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::{FutureExt, future::BoxFuture};
use kernel::Class;

use crate::fixture::{Fixture, WorkError, until};

/// A number, and how often it was counted.
#[derive(Clone, PartialEq, Debug, QueryableByName)]
struct Counted {
    #[diesel(sql_type = Integer)]
    n: i32,
    #[diesel(sql_type = Integer)]
    times: i32,
}

impl LockedRow for Counted {
    type Key = i32;
    const WHAT: &'static str = "saving numbers";

    async fn lock(
        conn: &mut AsyncPgConnection,
        keys: Vec<i32>,
    ) -> Result<Vec<(i32, Self)>, DbError> {
        let query =
            sql_query("SELECT n, times FROM counted WHERE n = ANY($1) ORDER BY n FOR UPDATE")
                .bind::<Array<Integer>, _>(keys);
        let rows: Vec<Self> = query.load(conn).await?;
        Ok(rows.into_iter().map(|row| (row.n, row)).collect())
    }

    async fn insert(
        conn: &mut AsyncPgConnection,
        rows: Vec<(i32, Self)>,
    ) -> Result<usize, DbError> {
        write(
            conn,
            "INSERT INTO counted SELECT * FROM unnest($1, $2)",
            rows,
        )
        .await
    }

    async fn update(
        conn: &mut AsyncPgConnection,
        rows: Vec<(i32, Self)>,
    ) -> Result<usize, DbError> {
        let sql = "UPDATE counted SET times = new.times FROM unnest($1, $2) AS new (n, times)
                   WHERE counted.n = new.n";
        write(conn, sql, rows).await
    }
}

async fn write(
    conn: &mut AsyncPgConnection,
    sql: &str,
    rows: Vec<(i32, Counted)>,
) -> Result<usize, DbError> {
    let (keys, times): (Vec<i32>, Vec<i32>) =
        rows.into_iter().map(|(n, row)| (n, row.times)).unzip();
    let query = sql_query(sql)
        .bind::<Array<Integer>, _>(keys)
        .bind::<Array<Integer>, _>(times);
    Ok(query.execute(conn).await?)
}

async fn count(tx: &mut Tx<'_>, n: i32) -> Result<(), WorkError> {
    let before: Option<Counted> = tx.lock_row(&n).await?;
    let times = before.map_or(0, |row| row.times) + 1;
    tx.save_row(n, Counted { n, times });
    Ok(())
}

async fn fixture() -> Fixture {
    let fixture = Fixture::new().await;
    let table = "CREATE TABLE counted (n integer PRIMARY KEY, times integer NOT NULL);
                 INSERT INTO counted VALUES (1, 10), (2, 20);
                 CREATE TABLE statements (what text);
                 CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
                   'BEGIN INSERT INTO statements VALUES (TG_OP); RETURN NULL; END';
                 CREATE TRIGGER noted AFTER INSERT OR UPDATE ON counted
                   FOR EACH STATEMENT EXECUTE FUNCTION note();";
    fixture.sql.batch_execute(table).await.unwrap();
    fixture
}

async fn counted(fixture: &Fixture) -> Vec<(i32, i32)> {
    let rows = fixture
        .sql
        .query("SELECT n, times FROM counted ORDER BY n", &[])
        .await;
    rows.unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_saved_often_is_found_as_it_was_saved_and_written_once() {
    let fixture = fixture().await;
    let work = async |tx: &mut Tx<'_>| -> Result<(), WorkError> {
        tx.lock_rows::<Counted>([3, 2, 1]).await?;
        for n in [1, 3, 2, 3, 3, 4, 1] {
            count(tx, n).await?;
        }
        Ok(())
    };
    fixture.db.transaction("test.count", work).await.unwrap();
    assert_eq!(counted(&fixture).await, [(1, 12), (2, 21), (3, 3), (4, 1)]);
    let statements = fixture
        .sql
        .query("SELECT what FROM statements ORDER BY what", &[])
        .await
        .unwrap();
    let statements: Vec<String> = statements.iter().map(|row| row.get(0)).collect();
    assert_eq!(statements, ["INSERT", "UPDATE"]);
}

/// A missing row cannot be locked.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_else_added_meanwhile_is_a_reason_to_try_again() {
    let fixture = fixture().await;
    let sql = &fixture.sql;
    let work = async |tx: &mut Tx<'_>| -> Result<(), WorkError> {
        count(tx, 3).await?;
        sql.batch_execute("INSERT INTO counted VALUES (3, 30)")
            .await
            .unwrap();
        Ok(())
    };
    let failed = fixture
        .db
        .transaction("test.slower", work)
        .await
        .unwrap_err();
    assert!(
        matches!(failed, WorkError::Db(Class::Unavailable, _)),
        "{failed:?}"
    );
    let again = async |tx: &mut Tx<'_>| count(tx, 3).await;
    fixture.db.transaction("test.again", again).await.unwrap();
    assert_eq!(counted(&fixture).await, [(1, 10), (2, 20), (3, 31)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_savepoint_gave_up_is_not_written_and_what_it_changed_before_is() {
    let fixture = fixture().await;
    let work = async |tx: &mut Tx<'_>| -> Result<(), WorkError> {
        count(tx, 1).await?;
        let given_up = tx.savepoint(async |tx| -> Result<(), WorkError> {
            count(tx, 1).await?;
            count(tx, 2).await?;
            Err(WorkError::Own(1))
        });
        assert_eq!(given_up.await, Err(WorkError::Own(1)));
        tx.savepoint(async |tx| count(tx, 1).await).await?;
        count(tx, 1).await
    };
    fixture
        .db
        .transaction("test.savepoints", work)
        .await
        .unwrap();
    assert_eq!(counted(&fixture).await, [(1, 13), (2, 20)]);
}

#[derive(Default)]
struct Refused;

impl DeferredWrite for Refused {
    fn write(self: Box<Self>, conn: &mut AsyncPgConnection) -> BoxFuture<'_, Result<(), DbError>> {
        async move {
            sql_query("SELECT 1 / 0").execute(conn).await?;
            Ok(())
        }
        .boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_at_the_end_undoes_all() {
    let fixture = fixture().await;
    let work = async |tx: &mut Tx<'_>| -> Result<(), WorkError> {
        count(tx, 1).await?;
        tx.deferred::<Refused>();
        Ok(())
    };
    let failed = fixture
        .db
        .transaction("test.refused", work)
        .await
        .unwrap_err();
    assert!(matches!(failed, WorkError::Db(Class::Bug, _)), "{failed:?}");
    assert_eq!(counted(&fixture).await, [(1, 10), (2, 20)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_patience_gives_up_at_a_locked_row_and_says_to_try_again() {
    let fixture = fixture().await;
    let lock = "BEGIN; UPDATE counted SET times = 0 WHERE n = 1";
    fixture.sql.batch_execute(lock).await.unwrap();
    let lock_timeout = std::time::Duration::from_millis(20);
    let work = async |tx: &mut Tx<'_>| count(tx, 1).await;
    let failed = fixture
        .db
        .transaction_with_lock_timeout("test.impatient", lock_timeout, work)
        .await;
    assert!(
        matches!(failed, Err(WorkError::Db(Class::Unavailable, _))),
        "{failed:?}"
    );
    // The next transaction of the connection has the longer timeout again.
    let patient = fixture
        .db
        .transaction("test.patient", async |tx| count(tx, 1).await);
    let (done, ()) = tokio::join!(patient, async {
        until("it to wait", async || fixture.waiting().await == 1).await;
        tokio::time::sleep(lock_timeout * 5).await;
        fixture.sql.batch_execute("ROLLBACK").await.unwrap();
    });
    done.unwrap();
    assert_eq!(counted(&fixture).await, [(1, 11), (2, 20)]);
}
