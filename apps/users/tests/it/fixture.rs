use std::{net::SocketAddr, time::Duration};

use backing::{Postgres, PostgresOptions, ServerKind};
use chrono::TimeDelta;
use clap::{Args, FromArgMatches};
use connect::{KafkaSettings, PostgresSettings};
use kernel::Clock;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use service_kit::{Running, ServiceSettings};
use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls};
use users::{Users, UsersSettings};
use uuid::Uuid;

pub const PASSWORD: &str = "the first password";
pub const MANAGER: &str = "manager@example.org";
pub const TOKEN_KEY_SECRET: &str = "a key of the tests";

static SERVER: OnceCell<Postgres> = OnceCell::const_new();

/// The server that all tests share.
pub async fn server() -> &'static Postgres {
    let start = async || {
        Postgres::start(
            ServerKind::detect().await?,
            PostgresOptions::default(),
            &|_| {},
        )
        .await
    };
    SERVER.get_or_try_init(start).await.unwrap()
}

/// users with a database of its own.
pub struct Fixture {
    running: Option<Running>,
    database: String,
    address: SocketAddr,
    settings: Vec<String>,
    clock: Clock,
    http: reqwest::Client,
}

fn name_of(setting: &str) -> &str {
    setting.split('=').next().unwrap()
}

fn argon2_of(password: &str) -> String {
    use argon2::password_hash::{PasswordHasher, SaltString, rand_core::OsRng};
    let salt = SaltString::generate(&mut OsRng);
    argon2::Argon2::default()
        .hash_password(password.as_bytes(), &salt)
        .unwrap()
        .to_string()
}

/// The header with the access token of a session.
pub fn bearer(session: &Answer) -> String {
    assert_eq!(session.status, StatusCode::OK, "{:?}", session.body);
    format!("Bearer {}", session.body["access_token"].as_str().unwrap())
}

/// The refresh token of a session.
pub fn refresh_token(session: &Answer) -> String {
    assert_eq!(session.status, StatusCode::OK, "{:?}", session.body);
    session.body["refresh_token"].as_str().unwrap().to_owned()
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub retry_after: Option<u64>,
    pub body: Value,
}

impl Answer {
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

impl Fixture {
    pub async fn new() -> Self {
        Self::with("", &[]).await
    }

    /// In a database of this locale, with these settings.
    pub async fn with(locale: &str, settings: &[&str]) -> Self {
        let name = format!("users-{}", Uuid::new_v4().simple());
        let database = server()
            .await
            .create_database_with(&name, locale)
            .await
            .unwrap();
        Self::on(database, settings).await
    }

    /// In this database, which may be one that was used before.
    pub async fn on(database: String, settings: &[&str]) -> Self {
        let mut fixture = Self {
            running: None,
            database,
            address: ([127, 0, 0, 1], 0).into(),
            settings: settings.iter().map(ToString::to_string).collect(),
            clock: Clock::system(),
            http: reqwest::Client::new(),
        };
        fixture.start().await.unwrap();
        fixture
    }

    async fn start(&mut self) -> anyhow::Result<()> {
        let mut arguments = vec![
            "users".to_owned(),
            "--http-listen=127.0.0.1:0".to_owned(),
            "--http-workers=1".to_owned(),
            "--rate-limit=0".to_owned(),
            // These tests do not depend on a busy machine.
            "--database-pool-timeout=60".to_owned(),
            "--database-url=postgres://".to_owned(),
            "--idempotency-secret=a secret of the tests".to_owned(),
            format!("--token-key-secret={TOKEN_KEY_SECRET}"),
            "--kafka-brokers=127.0.0.1:1".to_owned(),
            "--ops-listen=127.0.0.1:0".to_owned(),
            format!("--first-manager-email={MANAGER}"),
            format!("--first-manager-password={PASSWORD}"),
        ];
        for setting in &self.settings {
            arguments.retain(|default| name_of(default) != name_of(setting));
            arguments.push(setting.clone());
        }
        let command = ServiceSettings::<UsersSettings>::augment_args(clap::Command::new("users"));
        let matches = command.try_get_matches_from(arguments).unwrap();
        let mut settings = ServiceSettings::<UsersSettings>::from_arg_matches(&matches).unwrap();
        settings.kit.db.postgres = PostgresSettings::new(&self.database);
        settings.kit.kafka = KafkaSettings::new("127.0.0.1:1", "");
        let running = service_kit::start_by::<Users>(settings, self.clock.clone()).await?;
        self.address = running.address;
        self.running = Some(running);
        Ok(())
    }

    pub async fn restart(&mut self) {
        self.try_restart().await.unwrap();
    }

    pub async fn try_restart(&mut self) -> anyhow::Result<()> {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
        self.start().await
    }

    /// Starts it again with another value of a setting.
    pub async fn set(&mut self, setting: &str) {
        self.try_set(setting).await.unwrap();
    }

    pub async fn try_set(&mut self, setting: &str) -> anyhow::Result<()> {
        self.settings
            .retain(|before| name_of(before) != name_of(setting));
        self.settings.push(setting.to_owned());
        self.try_restart().await
    }

    /// Restarts it as if this much time had passed.
    pub async fn restart_after(&mut self, time: TimeDelta) {
        let right = Clock::system();
        self.clock = Clock::from_fn(move || right.now() + time);
        self.restart().await;
    }

    /// Gives the user with this address a password as an earlier release stored it.
    pub async fn has_password(&self, email: &str, password: &str) {
        let set = "UPDATE users SET password_hash = $1 WHERE email = $2";
        let hash = argon2_of(password);
        self.sql()
            .await
            .execute(set, &[&hash, &email])
            .await
            .unwrap();
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Where its metrics are.
    pub fn ops_url(&self, path: &str) -> String {
        let running = self.running.as_ref().unwrap();
        format!("http://{}{path}", running.ops_address)
    }

    pub async fn sql(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.database, NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        client
    }

    /// Sends a request with these headers.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self.http.request(method, self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        // A flood may be more connections than the system takes at once, or than a busy machine
        // reads in time.
        let mut tries = 0;
        let response = loop {
            match request.try_clone().unwrap().send().await {
                Ok(response) if response.status() != StatusCode::REQUEST_TIMEOUT => break response,
                told => assert!(tries < 100, "{told:?}"),
            }
            tries += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let retry_after = response.headers().get("retry-after");
        Answer {
            status: response.status(),
            retry_after: retry_after.map(|seconds| seconds.to_str().unwrap().parse().unwrap()),
            body: response.json().await.unwrap_or_default(),
        }
    }

    pub async fn register(&self, email: &str, password: &str) -> Answer {
        self.register_with(email, password, &Uuid::new_v4().to_string())
            .await
    }

    pub async fn register_with(&self, email: &str, password: &str, key: &str) -> Answer {
        let body = json!({ "email": email, "password": password, "name": "Ada" });
        self.send(
            Method::POST,
            "/api/users",
            Some(&body),
            &[("Idempotency-Key", key)],
        )
        .await
    }

    pub async fn log_in(&self, email: &str, password: &str) -> Answer {
        self.log_in_from("10.0.0.1", email, password).await
    }

    pub async fn log_in_from(&self, address: &str, email: &str, password: &str) -> Answer {
        let body = json!({ "email": email, "password": password });
        let headers = [("X-Forwarded-For", address)];
        self.send(Method::POST, "/api/sessions", Some(&body), &headers)
            .await
    }

    /// Logs in; returns the header with the access token.
    pub async fn token(&self, email: &str, password: &str) -> String {
        bearer(&self.log_in(email, password).await)
    }

    /// Refreshes a session.
    pub async fn refresh(&self, token: &str) -> Answer {
        let body = json!({ "refresh_token": token });
        self.send(Method::POST, "/api/sessions/refresh", Some(&body), &[])
            .await
    }

    /// The id of the caller with this header.
    pub async fn id_of(&self, token: &str) -> String {
        let me = self
            .send_as(token, Method::GET, "/api/users/me", None)
            .await;
        me.body["id"].as_str().unwrap().to_owned()
    }

    /// Changes the role or the status of a person.
    pub async fn give(&self, token: &str, person: &str, what: &str, value: &str) -> Answer {
        let path = format!("/api/users/{person}/{what}");
        self.send_as(token, Method::PUT, &path, Some(&json!({ what: value })))
            .await
    }

    /// How many events of this type there are about a person.
    pub async fn told(&self, event_type: &str, person: &str) -> i64 {
        let count = "SELECT count(*) FROM outbox WHERE type = $1 AND key = $2";
        let sql = self.sql().await;
        let row = sql.query_one(count, &[&event_type, &person]).await.unwrap();
        row.get(0)
    }

    /// Sends a request with the header of a caller.
    pub async fn send_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        self.send(method, path, body, &[("Authorization", token)])
            .await
    }

    pub async fn stop(mut self) {
        self.running.take().unwrap().stop().await;
    }
}
