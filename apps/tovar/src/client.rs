//! A client of the store's API: over the gateway, with an idempotency key for every new request.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use anyhow::{Context, bail};
use reqwest::{
    Method, Request, RequestBuilder, Response, StatusCode,
    header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use uuid::Uuid;

/// How long a registration or log-in is repeated while the store answers that it is busy.
const TURN_WAIT_MAX: Duration = Duration::from_secs(60);

/// A client of the store at an address, with or without a user who is logged in.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    session: Option<Arc<Session>>,
}

/// A user's session, shared by all clones of a client.
struct Session {
    tokens: RwLock<Tokens>,
    /// A refresh token can be used once, so one request refreshes for all.
    refreshing: Mutex<()>,
}

/// The present tokens of a session.
#[derive(Clone)]
pub struct Tokens {
    pub access: String,
    /// `None` for a token that this client did not get by a log-in.
    pub refresh: Option<String>,
    /// The access token before this one: requests with it may still be under way.
    before: Option<String>,
}

impl Tokens {
    fn of(session: &Value) -> anyhow::Result<Self> {
        let access = session["access_token"].as_str();
        Ok(Self {
            access: access.context("a session without a token")?.to_owned(),
            refresh: session["refresh_token"].as_str().map(ToOwned::to_owned),
            before: None,
        })
    }
}

impl Session {
    fn tokens(&self) -> Tokens {
        self.tokens
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// An answer of the store.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    async fn of(response: Response) -> reqwest::Result<Self> {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Self {
            status,
            headers,
            body,
        })
    }

    /// Whether another access token may help.
    fn asks_for_another_token(&self) -> bool {
        matches!(self.code(), Some("token_invalid" | "token_outdated"))
    }

    /// The problem's stable code, if the answer is a problem.
    pub fn code(&self) -> Option<&str> {
        self.body["code"].as_str()
    }

    /// How long to wait before the request may be sent again, if the answer says so.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    /// The body, if the request succeeded.
    pub fn success(self) -> anyhow::Result<Value> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        bail!(
            "{}: {}: {}",
            self.status,
            self.body["code"],
            self.body["detail"]
        )
    }

    /// The body as a `T`, if the request succeeded.
    pub fn read<T: DeserializeOwned>(self) -> anyhow::Result<T> {
        serde_json::from_value(self.success()?).context("the store answered something unexpected")
    }
}

impl Client {
    pub fn new(base: impl Into<String>) -> Self {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            // Below the gateway's and the services' keep-alive.
            .pool_idle_timeout(Duration::from_secs(2))
            .build()
            .expect("a client without TLS needs nothing that could be missing");
        Self {
            http,
            base: base.into(),
            session: None,
        }
    }

    /// Sends a request as it is, with `key` as its Idempotency-Key.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> reqwest::Result<Answer> {
        let key: Vec<_> = key.iter().map(|key| ("Idempotency-Key", *key)).collect();
        self.send_with(method, path, body, &key).await
    }

    /// Sends a request as it is, with these headers.
    pub async fn send_with(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> reqwest::Result<Answer> {
        let mut request = self.request(method, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        self.carry_out(request.build()?).await
    }

    /// Sends a body as it is, also one that is no JSON.
    pub async fn send_raw(
        &self,
        method: Method,
        path: &str,
        body: &[u8],
    ) -> reqwest::Result<Answer> {
        let request = self
            .request(method, path)
            .header("Content-Type", "application/json");
        self.carry_out(request.body(body.to_owned()).build()?).await
    }

    /// The same client with this token, which is not refreshed.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        self.with_session(Tokens {
            access: token.to_owned(),
            refresh: None,
            before: None,
        })
    }

    fn with_session(&self, tokens: Tokens) -> Self {
        let session = Session {
            tokens: RwLock::new(tokens),
            refreshing: Mutex::default(),
        };
        Self {
            session: Some(Arc::new(session)),
            ..self.clone()
        }
    }

    /// The present tokens of the user who is logged in.
    pub fn tokens(&self) -> Option<Tokens> {
        self.session.as_ref().map(|session| session.tokens())
    }

    /// Opens a stream of server-sent events, from its beginning or after an event that was seen.
    pub async fn stream(
        &self,
        path: &str,
        last_event_id: Option<&str>,
    ) -> reqwest::Result<Response> {
        let request = self
            .request(Method::GET, path)
            .timeout(Duration::from_secs(3600));
        let request = match last_event_id {
            Some(id) => request.header("Last-Event-ID", id),
            None => request,
        };
        let request = request.build()?;
        let again = request.try_clone();
        let response = self.http.execute(request).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        match self.with_another_token(again).await {
            Some(again) => self.http.execute(again).await,
            None => Ok(response),
        }
    }

    /// A request that is still to be completed, for [`Client::carry_out`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match self.tokens() {
            Some(tokens) => request.bearer_auth(tokens.access),
            None => request,
        }
    }

    /// Sends a request; if its token is too old, sends it again with another one.
    pub async fn carry_out(&self, request: Request) -> reqwest::Result<Answer> {
        let again = request.try_clone();
        let answer = Answer::of(self.http.execute(request).await?).await?;
        if !answer.asks_for_another_token() {
            return Ok(answer);
        }
        match self.with_another_token(again).await {
            Some(again) => Answer::of(self.http.execute(again).await?).await,
            None => Ok(answer),
        }
    }

    /// A request that was refused for its token, with another token; `None` if there is no other
    /// one.
    async fn with_another_token(&self, refused: Option<Request>) -> Option<Request> {
        let (session, mut request) = (self.session.as_ref()?, refused?);
        let bearer = |access: &str| HeaderValue::from_str(&format!("Bearer {access}")).ok();
        let sent = request.headers().get(AUTHORIZATION)?.clone();
        let _one_at_a_time = session.refreshing.lock().await;
        let known = session.tokens();
        let access = if Some(&sent) == bearer(&known.access).as_ref() {
            let body = json!({ "refresh_token": known.refresh? });
            let url = format!("{}/api/sessions/refresh", self.base);
            let refreshed = Answer::of(self.http.post(url).json(&body).send().await.ok()?)
                .await
                .ok()?;
            let tokens = Tokens {
                before: Some(known.access),
                ..Tokens::of(&refreshed.success().ok()?).ok()?
            };
            let access = tokens.access.clone();
            *session
                .tokens
                .write()
                .unwrap_or_else(PoisonError::into_inner) = tokens;
            access
        } else if Some(sent) == known.before.as_deref().and_then(bearer) {
            // Another request was faster.
            known.access
        } else {
            return None;
        };
        request
            .headers_mut()
            .insert(AUTHORIZATION, bearer(&access)?);
        Some(request)
    }

    pub async fn get(&self, path: &str) -> reqwest::Result<Answer> {
        self.send(Method::GET, path, None, None).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> reqwest::Result<Answer> {
        self.send(Method::PUT, path, Some(body), None).await
    }

    /// Sends a new request under a new key.
    pub async fn post(&self, path: &str, body: &Value) -> reqwest::Result<Answer> {
        self.send(
            Method::POST,
            path,
            Some(body),
            Some(&Uuid::new_v4().to_string()),
        )
        .await
    }

    /// Sends a new request, and repeats it under the same key while the store answers with a
    /// Retry-After.
    async fn post_in_turn(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let key = Uuid::new_v4().to_string();
        let deadline = tokio::time::Instant::now() + TURN_WAIT_MAX;
        loop {
            let answer = self
                .send(Method::POST, path, Some(body), Some(&key))
                .await?;
            match answer.retry_after() {
                Some(pause) if tokio::time::Instant::now() + pause < deadline => {
                    tokio::time::sleep(pause).await;
                }
                _ => return answer.success(),
            }
        }
    }

    /// The same client with a user logged in.
    pub async fn log_in(&self, email: &str, password: &str) -> anyhow::Result<Self> {
        let session = self
            .post_in_turn(
                "/api/sessions",
                &json!({ "email": email, "password": password }),
            )
            .await?;
        Ok(self.with_session(Tokens::of(&session)?))
    }

    /// A new courier, logged in.
    pub async fn new_courier(&self, manager: &Self) -> anyhow::Result<Self> {
        let (email, password, person) = self.register("A courier").await?;
        let id = person["id"].as_str().context("a person without an id")?;
        let role = json!({ "role": "courier" });
        manager
            .put(&format!("/api/users/{id}/role"), &role)
            .await?
            .success()?;
        self.log_in(&email, &password).await
    }

    /// Assigns an order's delivery to the courier who is logged in.
    pub async fn take_parcel(&self, order: &str) -> anyhow::Result<Answer> {
        let me = self.get("/api/users/me").await?.success()?;
        let body = json!({ "courier_id": me["id"] });
        Ok(self
            .put(&format!("/api/deliveries/{order}/courier"), &body)
            .await?)
    }

    /// Registers a new user; returns the email address, the password, and the store's answer.
    pub async fn register(&self, name: &str) -> anyhow::Result<(String, String, Value)> {
        let email = format!("{}@example.org", Uuid::new_v4());
        let password = Uuid::new_v4().to_string();
        let body = json!({ "email": email, "password": password, "name": name });
        let person = self.post_in_turn("/api/users", &body).await?;
        Ok((email, password, person))
    }

    /// A new customer, logged in, whose account is open and holds `amount` minor units.
    pub async fn new_customer(&self, amount: i64) -> anyhow::Result<Self> {
        let (email, password, _) = self.register("A customer").await?;
        self.customer(&email, &password, amount).await
    }

    /// A user who has just registered, logged in, whose account is open and holds `amount` minor
    /// units.
    pub async fn customer(&self, email: &str, password: &str, amount: i64) -> anyhow::Result<Self> {
        let customer = self.log_in(email, password).await?;
        // Billing opens the account when it hears of the registration.
        wait_for("the account to open", Duration::from_secs(30), async || {
            Ok(customer.get("/api/account").await?.status == StatusCode::OK)
        })
        .await?;
        if amount > 0 {
            customer
                .post("/api/account/top-ups", &json!({ "amount": amount }))
                .await?
                .success()?;
        }
        Ok(customer)
    }

    /// Places an order; returns its id.
    pub async fn place(
        &self,
        sku: &str,
        quantity: u32,
        zone: &str,
        slot_id: &str,
    ) -> anyhow::Result<String> {
        let lines = json!([{ "sku": sku, "quantity": quantity }]);
        let body = json!({ "lines": lines, "zone": zone, "slot_id": slot_id });
        let order = self.post("/api/orders", &body).await?.success()?;
        Ok(order["id"]
            .as_str()
            .context("an order without an id")?
            .to_owned())
    }

    /// Waits until the order's status is terminal; returns the order.
    pub async fn finished(&self, order: &str, within: Duration) -> anyhow::Result<Value> {
        let path = format!("/api/orders/{order}");
        let mut last = Value::Null;
        let waited = wait_for("the order to finish", within, async || {
            last = self.get(&path).await?.success()?;
            let status = last["status"].as_str().unwrap_or_default();
            Ok(["delivered", "rejected", "cancelled", "refunded"].contains(&status))
        })
        .await;
        waited.with_context(|| format!("order {order} is {}", last["status"]))?;
        Ok(last)
    }
}

/// Calls `is_so` until it returns true. An error counts as false, as a store that is starting
/// answers with errors.
pub async fn wait_for(
    what: &str,
    within: Duration,
    mut is_so: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + within;
    let mut pause = Duration::from_millis(5);
    loop {
        let outcome = is_so().await;
        if matches!(outcome, Ok(true)) {
            return Ok(());
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(outcome
                .err()
                .unwrap_or_else(|| anyhow::anyhow!("it did not happen")))
            .with_context(|| format!("waited {} s for {what}", within.as_secs()));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}
