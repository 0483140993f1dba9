//! How a [`Call`] is carried out: in which transaction, how often, and in a task of its own, so
//! that a client that goes away stops nothing halfway.

use std::{future::Future, time::Duration};

use db::{Db, Tx, WorkOn};
use futures_util::{TryFutureExt, future::BoxFuture};
use idempotency::{Begun, KeyedRequest};
use kernel::{Class, Classify, TraceParent};
use telemetry::traces;
use tokio::runtime::Handle;
use tracing::Instrument;

use super::{
    answer::Answer,
    call::{Call, RequestKind},
    problem::{ApiError, Responded},
};

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

impl<S, B> Call<S, B>
where
    S: Clone + Send + Sync + 'static,
    B: Send + Sync + 'static,
{
    /// Carries out `work` once for the caller's Idempotency-Key, in the transaction `name`. A retry
    /// gets the first answer.
    pub async fn run_idempotent<V, A>(
        self,
        name: &'static str,
        work: impl UseCase<S, B, V>,
        answer: A,
    ) -> Responded
    where
        V: Send + Sync + 'static,
        A: Fn(&V) -> Answer + Send + Sync + 'static,
    {
        let request = self.keyed_request()?;
        self.perform(Some(request), name, work, answer).await
    }

    /// Carries out `work` in the transaction `name`. For reads, and for changes that have the same
    /// effect when they are repeated.
    pub async fn run_in_transaction<V, A>(
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

    /// Carries out `work`, which opens transactions of its own. For slow work that must not hold a
    /// connection to the database all the time. For the security log, `work` takes a
    /// [`Call::trail`]; [`Call::logged_as`] has no effect here.
    pub async fn run_outside_transaction<V, E, F, Fut, A>(self, work: F, answer: A) -> Responded
    where
        F: FnOnce(S, Db, B) -> Fut + Send + 'static,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
        E: Classify,
        A: Fn(&V) -> Answer + Send + Sync + 'static,
    {
        let work = work(
            self.context.state.clone(),
            self.context.db.clone(),
            self.body,
        );
        let job = async move { Ok(answer(&work.await?)) };
        in_own_task(&self.context.runtime, job)
            .await
            .map(Answer::into_response)
    }

    /// Carries out `work` in the transaction `name` before the call itself. For cheap checks that
    /// spare the caller an expensive step.
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
        let context = self.context.clone().into_inner();
        let runtime = context.runtime.clone();
        let job = async move {
            context
                .db
                .transaction(name, async |tx| work.call(tx, &context.state, &input).await)
                .await
        };
        in_own_task(&runtime, job).await
    }

    /// Carries out `work` in the transaction `name` and returns its result, for a route that makes
    /// the answer itself.
    pub async fn read<V>(
        self,
        name: &'static str,
        work: impl UseCase<S, B, V>,
    ) -> Result<V, ApiError>
    where
        V: Send + 'static,
    {
        let logged = self.logged();
        let (context, body) = (self.context.into_inner(), self.body);
        let runtime = context.runtime.clone();
        let job = async move {
            context
                .db
                .transaction(name, async |tx| -> Result<V, ApiError> {
                    let found = work.call(tx, &context.state, &body).await?;
                    if let Some(logged) = &logged {
                        logged.done(tx);
                    }
                    Ok(found)
                })
                .await
                .map_err(error_of_read)
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
        let (context, body) = (self.context.into_inner(), self.body);
        let runtime = context.runtime.clone();
        let (preconditions, kind) = (self.preconditions, self.kind);
        let job = async move {
            let mut attempts = 0;
            // The error of an attempt that may have been committed. When a later attempt fails too,
            // that says nothing about this one, so the caller gets this error.
            let mut unknown = None;
            loop {
                let outcome = context
                    .db
                    .transaction(name, async |tx| -> Result<Answer, ApiError> {
                        let reservation = match &keyed {
                            None => None,
                            Some(request) => match idempotency::begin(tx, request).await? {
                                Begun::Replay(stored) => return Ok(Answer::replayed(stored)),
                                Begun::New(reservation) => Some(reservation),
                            },
                        };
                        let answer = answer(&work.call(tx, &context.state, &body).await?);
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
                        // A request that waited for a connection in vain does not try again: it
                        // would only make the others wait longer.
                        let is_last = attempts == ATTEMPTS_MAX
                            || error.is_no_connection()
                            || is_unknown && preconditions.forbid_repetition();
                        let error = match unknown.take() {
                            Some(unknown) if !is_unknown => unknown,
                            _ => error,
                        };
                        if is_last {
                            return Err(if kind == RequestKind::Change {
                                error
                            } else {
                                error_of_read(error)
                            });
                        }
                        unknown = Some(error).filter(|error| error.code() == db::OUTCOME_UNKNOWN);
                        tokio::time::sleep(RETRY_DELAY * attempts).await;
                    }
                    Ok(answer) if kind != RequestKind::Change => {
                        return Ok(answer.for_reader(&preconditions)?);
                    }
                    outcome => return outcome,
                }
            }
        };
        in_own_task(&runtime, job).await.map(Answer::into_response)
    }
}

/// The error of a read. A read changes nothing, so its outcome is never unknown: it failed.
fn error_of_read(error: ApiError) -> ApiError {
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

/// Attempts at one transaction while the database is unavailable, the first one included.
const ATTEMPTS_MAX: u32 = 3;
/// Delay before the second attempt; it grows by as much with each further one.
const RETRY_DELAY: Duration = Duration::from_millis(20);

/// Runs `job` to its end, also when the client goes away.
async fn in_own_task<T: Send + 'static>(
    runtime: &Handle,
    job: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    let trace = traces::current().unwrap_or_else(TraceParent::root);
    runtime
        .spawn(traces::scope(trace, job.in_current_span()))
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
