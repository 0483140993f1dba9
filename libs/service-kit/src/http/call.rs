//! One request at the border of a service: its caller is verified and counted, its body is read
//! and its Idempotency-Key is checked before the handler sees it.

use std::{cell::Cell, future::Future, sync::Arc, time::Duration};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::{Method, header},
    web::Data,
};
use db::Db;
use futures_util::{FutureExt, future::LocalBoxFuture};
use idempotency::{Claim, Claims, Fingerprint, FingerprintKey, IdempotencyKey, KeyedRequest};
use kernel::{Class, Classify};
use limits::{CountedCaller, Limits};
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;

use super::{
    body::{self, NoBody},
    methods,
    problem::ApiError,
    version::Preconditions,
};
use crate::{
    AuthError, Caller, Role, Tokens,
    security::{Kind, RequestFacts, SecurityLog, Trail},
};

/// What all requests of a service share.
pub struct RequestContext<S> {
    pub state: S,
    pub db: Db,
    pub tokens: Tokens,
    pub security: SecurityLog,
    pub fingerprints: FingerprintKey,
    pub claims: Claims,
    /// Hours for which an Idempotency-Key is kept.
    pub keep_hours: u32,
    /// Seconds after which a log-in is too old for a request that needs a fresh one.
    pub fresh_login_seconds: u32,
    /// In bytes.
    pub body_limit: usize,
    pub body_timeout: Duration,
    pub limits: Arc<Limits>,
    /// The runtime on which requests are carried out. actix drops a handler when its client goes
    /// away; a transaction must go on to its end.
    pub runtime: Handle,
}

/// One request with its body read and its caller known, ready to be carried out. As an argument of
/// a handler it refuses a caller who sends too many requests, and a body that is too large.
pub struct Call<S, B = NoBody> {
    pub body: B,
    caller: Result<Caller, AuthError>,
    key: Result<IdempotencyKey, KeyError>,
    key_owner: Option<KeyOwner>,
    pub(super) preconditions: Preconditions,
    pub(super) kind: RequestKind,
    fingerprint: Fingerprint,
    request: HttpRequest,
    /// The kind under which the security log records this request when it is carried out.
    logged: Cell<Option<Kind>>,
    pub(super) context: Data<RequestContext<S>>,
}

/// To whom the key of a request without a caller belongs. While this lives, no other request of
/// this process uses the key.
struct KeyOwner {
    name: String,
    _claim: Claim,
}

/// Whether a request reads or changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestKind {
    Read,
    /// A HEAD: a read whose answer has no body.
    Head,
    Change,
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
        let context = request
            .app_data::<Data<RequestContext<S>>>()
            .expect("every service is started with a request context")
            .clone();
        let request = request.clone();
        let payload = payload.take();
        async move {
            let caller = caller_of(&request, &context.tokens).await;
            if let Ok(caller) = &caller {
                RequestFacts::sent_by(&request, caller.user_id);
                context
                    .limits
                    .admit_caller(CountedCaller::User(caller.user_id))?;
            }
            let key = key_of(&request);
            let preconditions = Preconditions::of(request.headers())?;
            let kind = if request.method() != Method::GET {
                RequestKind::Change
            } else if methods::is_head(&request) {
                RequestKind::Head
            } else {
                RequestKind::Read
            };
            let json =
                body::read(&request, payload, context.body_limit, context.body_timeout).await?;
            let method = request.method().as_str();
            let (path, query) = (request.path(), request.query_string());
            let fingerprint = context.fingerprints.fingerprint(method, path, query, &json);
            Ok(Self {
                body: body::parse(json)?,
                caller,
                key,
                key_owner: None,
                preconditions,
                kind,
                fingerprint,
                request,
                logged: Cell::default(),
                context,
            })
        }
        .boxed_local()
    }
}

async fn caller_of(request: &HttpRequest, tokens: &Tokens) -> Result<Caller, AuthError> {
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
    /// The caller of this request; 401 without a valid token.
    pub fn caller(&self) -> Result<Caller, AuthError> {
        self.caller.clone()
    }

    /// The caller, if their role is one of `roles`; otherwise 403. The security log records what
    /// they do, if their role is manager or courier.
    pub fn require(&self, roles: &[Role]) -> Result<Caller, AuthError> {
        let caller = self.caller()?.require(roles)?;
        if let Some(kind) = Kind::of_role(caller.role) {
            self.logged_as(kind);
        }
        Ok(caller)
    }

    /// Makes the security log record this request, in the transaction that carries it out.
    pub fn logged_as(&self, kind: Kind) {
        self.logged.set(Some(kind));
        RequestFacts::of_kind(&self.request, kind);
    }

    /// An entry for the security log that the use case itself completes and records.
    pub fn trail(&self, kind: Kind) -> Trail {
        self.logged.set(None);
        self.context.security.trail_of(&self.request, kind)
    }

    /// The entry of [`Call::logged_as`], if that was called.
    pub(super) fn logged(&self) -> Option<Trail> {
        let kind = self.logged.get()?;
        Some(self.context.security.trail_of(&self.request, kind))
    }

    /// The caller, if they typed their password lately; otherwise 403. The API page of such a route
    /// names the scope `fresh log-in`.
    pub fn fresh(&self) -> Result<Caller, AuthError> {
        let context = &self.context;
        self.caller()?
            .fresh(context.fresh_login_seconds, context.tokens.now())
    }

    /// Waits until the caller's token has expired or does not count any more. For an answer that
    /// streams.
    pub fn token_over(&self) -> impl Future<Output = ()> + Send + use<S, B> {
        let (tokens, caller) = (self.context.tokens.clone(), self.caller.clone());
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

    /// Hours for which an Idempotency-Key is kept.
    pub fn keep_hours(&self) -> u32 {
        self.context.keep_hours
    }

    /// The conditions (`If-Match`, `If-None-Match`) that the caller sets for this request. The use
    /// case fails where they do not hold.
    pub fn preconditions(&self) -> Preconditions {
        self.preconditions.clone()
    }

    /// Whether this is a HEAD request.
    pub fn is_head(&self) -> bool {
        self.kind == RequestKind::Head
    }

    /// The runtime of the service's background work, for streams.
    pub fn runtime(&self) -> Handle {
        self.context.runtime.clone()
    }

    pub fn state(&self) -> &S {
        &self.context.state
    }

    /// Replaces the body by the input of the use case.
    pub fn map<C>(self, input: impl FnOnce(B) -> C) -> Call<S, C> {
        let Self {
            body,
            caller,
            key,
            key_owner,
            preconditions,
            kind,
            fingerprint,
            request,
            logged,
            context,
        } = self;
        Call {
            body: input(body),
            caller,
            key,
            key_owner,
            preconditions,
            kind,
            fingerprint,
            request,
            logged,
            context,
        }
    }

    /// Gives the Idempotency-Key of a request without a caller to `owner`, such as an e-mail
    /// address. From here on this request holds the key, so that work before the transaction is
    /// done once; 409 while another request holds it.
    pub fn keyed_by(self, owner: String) -> Result<Self, ApiError> {
        let claim = self.context.claims.take(owner.clone(), self.key.clone()?)?;
        Ok(Self {
            key_owner: Some(KeyOwner {
                name: owner,
                _claim: claim,
            }),
            ..self
        })
    }

    /// The request as the table of Idempotency-Keys knows it; an error without a caller or a key.
    pub(super) fn keyed_request(&self) -> Result<KeyedRequest, ApiError> {
        let caller = match &self.key_owner {
            Some(owner) => owner.name.clone(),
            None => self.caller()?.user_id.to_string(),
        };
        Ok(KeyedRequest {
            caller,
            key: self.key.clone()?,
            fingerprint: self.fingerprint,
            keep_hours: self.context.keep_hours,
        })
    }
}
