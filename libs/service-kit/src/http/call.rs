use std::{cell::Cell, future::Future, sync::Arc, time::Duration};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    http::{Method, header},
    web::Data,
};
use db::{Db, Tx, WorkOn};
use futures_util::{
    FutureExt, TryFutureExt,
    future::{BoxFuture, LocalBoxFuture},
};
use idempotency::{
    Begun, Claim, Claims, Fingerprint, FingerprintKey, IdempotencyKey, KeyedRequest,
};
use kernel::{Class, Classify, TraceParent};
use limits::{Caller as Counted, Limits};
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tracing::Instrument;

use super::{
    answer::Answer,
    body::{self, NoBody},
    methods,
    problem::ApiError,
    version::Preconditions,
};
use crate::{
    AuthError, Caller, Role, Tokens,
    security::{Kind, SecurityLog, Shown, Trail},
};

/// What a handler returns.
pub type Responded = Result<HttpResponse, ApiError>;

/// What every request of a service finds.
pub struct Kit<S> {
    pub state: S,
    pub db: Db,
    pub tokens: Tokens,
    pub security: SecurityLog,
    pub fingerprints: FingerprintKey,
    pub claims: Claims,
    pub keep_hours: u32,
    pub fresh_login_seconds: u32,
    pub body_limit: usize,
    pub body_timeout: Duration,
    pub limits: Arc<Limits>,
    /// The runtime on which requests are carried out: actix drops a handler whose client went away,
    /// but a transaction must not be cut in two.
    pub runtime: Handle,
}

/// One request with its body read and its caller known, ready to be carried out.
pub struct Call<S, B = NoBody> {
    pub body: B,
    caller: Result<Caller, AuthError>,
    key: Result<IdempotencyKey, KeyError>,
    owned: Option<Owned>,
    preconditions: Preconditions,
    form: Form,
    fingerprint: Fingerprint,
    request: HttpRequest,
    /// As what the security log tells of it once it is carried out.
    logged: Cell<Option<Kind>>,
    kit: Data<Kit<S>>,
}

/// Whose the key of a request without a caller is, and that no other request has it in work.
struct Owned {
    owner: String,
    _claim: Claim,
}

/// What kind of request it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Read,
    /// A read of which only the answer's head is wanted.
    Head,
    Change,
}

/// One operation of a service: any `async fn(&mut Tx, &State, &Input) -> Result<View, impl
/// Classify>`.
pub trait UseCase<S, B, V>: Send + Sync + 'static {
    fn call<'t>(
        &'t self,
        tx: &'t mut Tx<'_>,
        state: &'t S,
        input: &'t B,
    ) -> BoxFuture<'t, Result<V, ApiError>>;
}

impl<F, S, B, V, E> UseCase<S, B, V> for F
where
    S: Sync + 'static,
    B: Sync + 'static,
    E: Classify,
    for<'t, 'c> F:
        WorkOn<&'t mut Tx<'c>, &'t S, &'t B, Out = Result<V, E>, Fut: Send> + Send + Sync + 'static,
{
    fn call<'t>(
        &'t self,
        tx: &'t mut Tx<'_>,
        state: &'t S,
        input: &'t B,
    ) -> BoxFuture<'t, Result<V, ApiError>> {
        Box::pin(self(tx, state, input).map_err(ApiError::from))
    }
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
enum KeyError {
    #[error(
        "send an Idempotency-Key: a new one for each intent, the same one for each retry of it"
    )]
    Missing,
    #[error(transparent)]
    Invalid(#[from] idempotency::InvalidKey),
}

impl Classify for KeyError {
    fn class(&self) -> Class {
        Class::Malformed
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Missing => "idempotency_key_missing",
            Self::Invalid(_) => "idempotency_key_invalid",
        }
    }
}

impl<S, B> FromRequest for Call<S, B>
where
    S: Clone + Send + Sync + 'static,
    B: DeserializeOwned + 'static,
{
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let kit = request
            .app_data::<Data<Kit<S>>>()
            .expect("every service is started with its kit")
            .clone();
        let request = request.clone();
        let payload = payload.take();
        async move {
            let caller = who(&request, &kit.tokens).await;
            if let Ok(caller) = &caller {
                Shown::sent_by(&request, caller.user_id);
                kit.limits.admit_caller(Counted::User(caller.user_id))?;
            }
            let key = key_of(&request);
            let preconditions = Preconditions::of(request.headers())?;
            let form = if request.method() != Method::GET {
                Form::Change
            } else if methods::is_head(&request) {
                Form::Head
            } else {
                Form::Read
            };
            let json = body::read(&request, payload, kit.body_limit, kit.body_timeout).await?;
            let method = request.method().as_str();
            let fingerprint =
                kit.fingerprints
                    .fingerprint(method, request.path(), request.query_string(), &json);
            Ok(Self {
                body: body::parse(json)?,
                caller,
                key,
                owned: None,
                preconditions,
                form,
                fingerprint,
                request,
                logged: Cell::default(),
                kit,
            })
        }
        .boxed_local()
    }
}

async fn who(request: &HttpRequest, tokens: &Tokens) -> Result<Caller, AuthError> {
    let Some(header) = request.headers().get(header::AUTHORIZATION) else {
        return Err(AuthError::Missing);
    };
    let header = header.to_str().map_err(|_| AuthError::Invalid)?;
    match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            tokens.verify(token.trim()).await
        }
        _ => Err(AuthError::Invalid),
    }
}

fn key_of(request: &HttpRequest) -> Result<IdempotencyKey, KeyError> {
    let mut headers = request.headers().get_all("idempotency-key");
    let (Some(header), None) = (headers.next(), headers.next()) else {
        let sent = request.headers().contains_key("idempotency-key");
        return Err(if sent {
            idempotency::InvalidKey.into()
        } else {
            KeyError::Missing
        });
    };
    let text = header.to_str().map_err(|_| idempotency::InvalidKey)?;
    Ok(text.parse::<IdempotencyKey>()?)
}

impl<S, B> Call<S, B> {
    /// Who calls; 401 without a valid token.
    pub fn caller(&self) -> Result<Caller, AuthError> {
        self.caller.clone()
    }

    /// Who calls; 403 for everybody whose role is not one of `roles`. The security log tells of
    /// what they do.
    pub fn require(&self, roles: &[Role]) -> Result<Caller, AuthError> {
        let caller = self.caller()?.require(roles)?;
        if let Some(kind) = Kind::of_role(caller.role) {
            self.logged_as(kind);
        }
        Ok(caller)
    }

    /// Has the security log tell of what this request does, in the transaction that does it.
    pub fn logged_as(&self, kind: Kind) {
        self.logged.set(Some(kind));
        Shown::of_kind(&self.request, kind);
    }

    /// The same for a use case that tells the log by itself.
    pub fn trail(&self, kind: Kind) -> Trail {
        self.logged.set(None);
        self.kit.security.trail_of(&self.request, kind)
    }

    fn logged(&self) -> Option<Trail> {
        let kind = self.logged.get()?;
        Some(self.kit.security.trail_of(&self.request, kind))
    }

    /// Who calls; 403 if they have not typed their password lately. Its route says so by the scope
    /// `fresh log-in` on its API page.
    pub fn fresh(&self) -> Result<Caller, AuthError> {
        let kit = &self.kit;
        self.caller()?
            .fresh(kit.fresh_login_seconds, kit.tokens.now())
    }

    /// Waits until the caller's token has expired or does not count any more: for an answer that
    /// goes on.
    pub fn token_over(&self) -> impl Future<Output = ()> + Send + use<S, B> {
        let (tokens, caller) = (self.kit.tokens.clone(), self.caller.clone());
        async move {
            if let Ok(caller) = caller {
                tokens.over(&caller).await;
            }
        }
    }

    /// The caller's Idempotency-Key; 400 without one.
    pub fn key(&self) -> Result<String, ApiError> {
        Ok(self.key.clone()?.as_str().to_owned())
    }

    /// Hours for which a key is kept.
    pub fn keep_hours(&self) -> u32 {
        self.kit.keep_hours
    }

    /// What the caller makes a change depend on: the use case fails if it does not hold.
    pub fn preconditions(&self) -> Preconditions {
        self.preconditions.clone()
    }

    /// Whether only the head of the answer is wanted.
    pub fn is_head(&self) -> bool {
        self.form == Form::Head
    }

    /// The runtime of the service's background work, for streams.
    pub fn runtime(&self) -> Handle {
        self.kit.runtime.clone()
    }

    pub fn state(&self) -> &S {
        &self.kit.state
    }

    /// Makes the body into what the use case wants.
    pub fn map<C>(self, input: impl FnOnce(B) -> C) -> Call<S, C> {
        let Self {
            body,
            caller,
            key,
            owned,
            preconditions,
            form,
            fingerprint,
            request,
            logged,
            kit,
        } = self;
        Call {
            body: input(body),
            caller,
            key,
            owned,
            preconditions,
            form,
            fingerprint,
            request,
            logged,
            kit,
        }
    }

    /// For a request that has no caller yet: whose its Idempotency-Key is. It is in work from here
    /// on, so that what is done before the transaction is done once; 409 while another request has
    /// it in work.
    pub fn keyed_by(self, owner: String) -> Result<Self, ApiError> {
        let claim = self.kit.claims.take(owner.clone(), self.key.clone()?)?;
        Ok(Self {
            owned: Some(Owned {
                owner,
                _claim: claim,
            }),
            ..self
        })
    }
}

impl<S, B> Call<S, B>
where
    S: Clone + Send + Sync + 'static,
    B: Send + Sync + 'static,
{
    /// Carries out `work` once for the caller's Idempotency-Key, in the transaction `name`; a retry
    /// gets the first answer.
    pub async fn once<V, A>(
        self,
        name: &'static str,
        work: impl UseCase<S, B, V>,
        answer: A,
    ) -> Responded
    where
        V: Send + Sync + 'static,
        A: Fn(&V) -> Answer + Send + Sync + 'static,
    {
        let owner = match &self.owned {
            Some(owned) => owned.owner.clone(),
            None => self.caller()?.user_id.to_string(),
        };
        let request = KeyedRequest {
            caller: owner,
            key: self.key.clone()?,
            fingerprint: self.fingerprint,
            keep_hours: self.kit.keep_hours,
        };
        self.perform(Some(request), name, work, answer).await
    }

    /// Carries out `work` in the transaction `name`: for reads, and for what has the same effect
    /// when repeated.
    pub async fn run<V, A>(
        self,
        name: &'static str,
        work: impl UseCase<S, B, V>,
        answer: A,
    ) -> Responded
    where
        V: Send + Sync + 'static,
        A: Fn(&V) -> Answer + Send + Sync + 'static,
    {
        self.perform(None, name, work, answer).await
    }

    /// Carries out `work` with transactions of its own: for what must not hold a connection all the
    /// time. What the security log is to tell of it, `work` does by a [`Call::trail`].
    pub async fn apart<V, E, F, Fut, A>(self, work: F, answer: A) -> Responded
    where
        F: FnOnce(S, Db, B) -> Fut + Send + 'static,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
        E: Classify,
        A: Fn(&V) -> Answer + Send + Sync + 'static,
    {
        let work = work(self.kit.state.clone(), self.kit.db.clone(), self.body);
        let job = async move { Ok(answer(&work.await?)) };
        in_own_task(&self.kit.runtime, job)
            .await
            .map(Answer::into_response)
    }

    /// Carries out `work` in the transaction `name` before the call itself: for what is cheaper to
    /// look at first.
    pub async fn before<I, V>(
        &self,
        name: &'static str,
        work: impl UseCase<S, I, V>,
        input: I,
    ) -> Result<V, ApiError>
    where
        I: Send + Sync + 'static,
        V: Send + 'static,
    {
        let kit = self.kit.clone().into_inner();
        let runtime = kit.runtime.clone();
        let job = async move {
            kit.db
                .transaction(name, async |tx| work.call(tx, &kit.state, &input).await)
                .await
        };
        in_own_task(&runtime, job).await
    }

    /// Carries out `work` in the transaction `name`, for a route that makes its own answer of what
    /// it finds.
    pub async fn read<V>(
        self,
        name: &'static str,
        work: impl UseCase<S, B, V>,
    ) -> Result<V, ApiError>
    where
        V: Send + 'static,
    {
        let logged = self.logged();
        let (kit, body) = (self.kit.into_inner(), self.body);
        let runtime = kit.runtime.clone();
        let job = async move {
            kit.db
                .transaction(name, async |tx| -> Result<V, ApiError> {
                    let found = work.call(tx, &kit.state, &body).await?;
                    if let Some(logged) = &logged {
                        logged.done(tx);
                    }
                    Ok(found)
                })
                .await
                .map_err(of_read)
        };
        in_own_task(&runtime, job).await
    }

    async fn perform<V, A>(
        self,
        keyed: Option<KeyedRequest>,
        name: &'static str,
        work: impl UseCase<S, B, V>,
        answer: A,
    ) -> Responded
    where
        V: Send + Sync + 'static,
        A: Fn(&V) -> Answer + Send + Sync + 'static,
    {
        let logged = self.logged();
        let (kit, body) = (self.kit.into_inner(), self.body);
        let runtime = kit.runtime.clone();
        let (preconditions, form) = (self.preconditions, self.form);
        let job = async move {
            let mut attempts = 0;
            // An attempt of which it is not known what became of it. Another that fails as well
            // says nothing of it.
            let mut unknown = None;
            loop {
                let outcome = kit
                    .db
                    .transaction(name, async |tx| -> Result<Answer, ApiError> {
                        let reservation = match &keyed {
                            None => None,
                            Some(request) => match idempotency::begin(tx, request).await? {
                                Begun::Replay(stored) => return Ok(Answer::replayed(stored)),
                                Begun::New(reservation) => Some(reservation),
                            },
                        };
                        let answer = answer(&work.call(tx, &kit.state, &body).await?);
                        if let Some(logged) = &logged {
                            logged.done(tx);
                        }
                        if let Some(reservation) = reservation {
                            reservation.complete(tx, answer.stored()).await?;
                        }
                        Ok(answer)
                    })
                    .await;
                attempts += 1;
                match outcome {
                    // A deadlock or a lost connection: the key makes it safe to try again.
                    Err(error) if error.class() == Class::Unavailable => {
                        let is_unknown = error.code() == db::OUTCOME_UNKNOWN;
                        // Who has waited for a connection in vain takes no second turn: it would
                        // only add to what the others wait for.
                        let is_last = attempts == ATTEMPTS
                            || error.is_no_connection()
                            || is_unknown && preconditions.forbid_repetition();
                        let error = match unknown.take() {
                            Some(unknown) if !is_unknown => unknown,
                            _ => error,
                        };
                        if is_last {
                            return Err(if form == Form::Change {
                                error
                            } else {
                                of_read(error)
                            });
                        }
                        unknown = Some(error).filter(|error| error.code() == db::OUTCOME_UNKNOWN);
                        tokio::time::sleep(BETWEEN_ATTEMPTS * attempts).await;
                    }
                    Ok(answer) if form != Form::Change => {
                        return Ok(answer.for_reader(&preconditions)?);
                    }
                    outcome => return outcome,
                }
            }
        };
        in_own_task(&runtime, job).await.map(Answer::into_response)
    }
}

/// What became of a read is never unknown: nothing.
fn of_read(error: ApiError) -> ApiError {
    if error.code() != db::OUTCOME_UNKNOWN {
        return error;
    }
    tracing::debug!(%error, "a read was lost");
    ReadLost.into()
}

#[derive(Debug, thiserror::Error)]
#[error("the database cannot be reached at the moment")]
struct ReadLost;

impl Classify for ReadLost {
    fn class(&self) -> Class {
        Class::Unavailable
    }
    fn code(&self) -> &'static str {
        "database_unavailable"
    }
}

const ATTEMPTS: u32 = 3;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(20);

/// Runs `job` to its end, also when the client goes away.
async fn in_own_task<T: Send + 'static>(
    runtime: &Handle,
    job: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    let trace = TraceParent::current().unwrap_or_else(TraceParent::root);
    runtime
        .spawn(trace.scope(job.in_current_span()))
        .await
        .map_err(Panicked)?
}

#[derive(Debug, thiserror::Error)]
#[error("the use case panicked")]
struct Panicked(#[source] tokio::task::JoinError);

impl Classify for Panicked {
    fn class(&self) -> Class {
        Class::Bug
    }
    fn code(&self) -> &'static str {
        "internal_error"
    }
}
