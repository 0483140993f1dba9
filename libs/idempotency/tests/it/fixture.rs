use db::{Db, DbError, DbSettings, Tx};
use diesel::{QueryableByName, sql_query, sql_types};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use idempotency::{Begun, FingerprintKey, IdempotencyError, KeyedRequest, StoredAnswer, begin};
use kernel::{Class, Classify};
use serde_json::json;

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = sql_types::BigInt)]
    number: i64,
}

/// Why a request had no effect.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("the domain refuses it")]
    Refused,
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    #[error(transparent)]
    Db(#[from] DbError),
}

impl RequestError {
    /// The error's code, if the key is the reason for it.
    pub fn key_code(&self) -> Option<&'static str> {
        match self {
            Self::Idempotency(error) if error.class() != Class::Bug => Some(error.code()),
            _ => None,
        }
    }
}

/// The answer that a client got, and whether to a first request or to a retry.
#[derive(PartialEq, Eq, Debug)]
pub enum Told {
    First(StoredAnswer),
    Again(StoredAnswer),
}

/// A database of a test's own with a table of effects.
#[derive(Clone)]
pub struct Fixture {
    pub db: Db,
}

impl Fixture {
    pub async fn new() -> Self {
        let postgres = &backing::shared().await.unwrap().postgres;
        let name = format!("idempotency-{}", uuid::Uuid::new_v4().simple());
        let settings = DbSettings::new(postgres.create_database(&name).await.unwrap());
        db::migrate(&settings, vec![idempotency::MIGRATIONS])
            .await
            .unwrap();
        let db = Db::open(&settings, "idempotency-test").await.unwrap();
        let fixture = Self { db };
        fixture
            .run("CREATE TABLE effects (what text NOT NULL)")
            .await;
        fixture
    }

    pub async fn run(&self, sql: &str) {
        let done = self
            .db
            .transaction("test.run", async |tx| -> Result<(), DbError> {
                Ok(tx.batch_execute(sql).await?)
            });
        done.await.unwrap();
    }

    pub async fn number(&self, sql: &str) -> i64 {
        let sql = format!("SELECT count(*) AS number FROM {sql}");
        let number = self
            .db
            .transaction("test.number", async |tx| -> Result<Number, DbError> {
                Ok(sql_query(&sql).get_result(&mut **tx).await?)
            });
        number.await.unwrap().number
    }

    pub async fn effects(&self) -> i64 {
        self.number("effects").await
    }

    /// Sends a request whose use case writes an effect and returns an answer of its own.
    pub async fn send(&self, request: &KeyedRequest) -> Result<Told, RequestError> {
        self.db
            .transaction("test.send", async |tx| {
                perform(tx, request, Ok(answer())).await
            })
            .await
    }

    /// Sends a request that the domain refuses once its use case has written its effect.
    pub async fn send_refused(&self, request: &KeyedRequest) -> Result<Told, RequestError> {
        self.db
            .transaction("test.refused", async |tx| {
                perform(tx, request, Err(RequestError::Refused)).await
            })
            .await
    }
}

pub async fn perform(
    tx: &mut Tx<'_>,
    request: &KeyedRequest,
    outcome: Result<StoredAnswer, RequestError>,
) -> Result<Told, RequestError> {
    let reservation = match begin(tx, request).await? {
        Begun::Replay(stored) => return Ok(Told::Again(stored)),
        Begun::New(reservation) => reservation,
    };
    sql_query("INSERT INTO effects (what) VALUES ($1)")
        .bind::<sql_types::Text, _>(request.key.as_str())
        .execute(&mut **tx)
        .await
        .map_err(DbError::from)?;
    let answer = outcome?;
    reservation.complete(tx, &answer).await?;
    Ok(Told::First(answer))
}

/// A unique answer, with all kinds of characters that an answer may have.
pub fn answer() -> StoredAnswer {
    StoredAnswer {
        status: 201,
        headers: vec![
            ("Location".to_owned(), "/orders/ä \"7\"".to_owned()),
            ("ETag".to_owned(), "W/\"1\"".to_owned()),
        ],
        body: json!({ "id": uuid::Uuid::new_v4(), "text": "\u{0}\n\"ü" }).to_string(),
    }
}

/// A request of a caller with a key; `what` makes its fingerprint different from others.
pub fn request(caller: &str, key: &str, what: &str) -> KeyedRequest {
    KeyedRequest {
        caller: caller.to_owned(),
        key: key.parse().unwrap(),
        fingerprint: FingerprintKey::new(b"secret").fingerprint(
            "POST",
            "/orders",
            "",
            &json!({ "what": what }),
        ),
        keep_hours: 24,
    }
}
