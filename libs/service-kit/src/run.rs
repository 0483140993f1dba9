use std::{
    future::Future,
    net::{SocketAddr, TcpListener},
    process::ExitCode,
    sync::{Arc, Mutex},
    time::Duration,
};

use actix_web::{
    App, HttpServer,
    dev::ServerHandle,
    middleware::from_fn,
    web::{self, Data},
};
use anyhow::Context;
use clap::{Args, FromArgMatches};
use db::{Db, Heartbeat, Migrations, Rights};
use diesel_migrations::embed_migrations;
use idempotency::{Claims, FingerprintKey};
use kernel::{Class, Classify, Clock, cause_chain};
use limits::Limits;
use prometheus_client::registry::Registry;
use telemetry::{Listen, Ops, Readiness, ReadingAge, Shutdown};
use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use utoipa::openapi::OpenApi;

use crate::{
    ApiError, KitSettings, OwnKeys, Service, ServiceSettings, StartContext, Tokens, VoidTokens,
    http::{
        call::RequestContext,
        docs,
        headers::{self, Public},
        limit::{self, Admission},
        methods::{self, Methods},
        observe::{self, HttpMetrics, Observer},
    },
    readings::Readings,
    security::{self, SecurityLog},
};

const MIGRATIONS: Migrations = Migrations::new(embed_migrations!(), &RIGHTS);

/// A service adds to the security log; it cannot read or change it. The reader does not see
/// networks, because they are personal data.
const RIGHTS: [Rights; 5] = [
    Rights::of_table("token_key_cache").service("SELECT, INSERT, UPDATE"),
    Rights::of_table("void_tokens").service("SELECT, INSERT, UPDATE, DELETE"),
    Rights::of_table("security_events").service("INSERT"),
    Rights::of_function("security_events_forget").service("EXECUTE"),
    Rights::of_table("security_log")
        .reader("SELECT (at, kind, who, what, whom, trace_id, outcome, reason, database_role)"),
];

/// A service that was started. Dropping it does not stop it; [`Running::stop`] does.
pub struct Running {
    /// Address of the HTTP API.
    pub address: SocketAddr,
    /// Address of the same API over TLS, if it is served so.
    pub https_address: Option<SocketAddr>,
    /// Address of health and metrics.
    pub ops_address: SocketAddr,
    server: ServerHandle,
    inbox: Option<inbox::Running>,
    work: Background,
    _ops: Ops,
}

impl Running {
    /// Finishes the accepted requests and the events that are being handled, then ends.
    pub async fn stop(self) {
        // Background work ends first: an open stream would hold the server up.
        self.work.stop.cancel();
        self.server.stop(true).await;
        if let Some(inbox) = self.inbox {
            inbox.stop().await;
        }
        self.work.tasks.close();
        self.work.tasks.wait().await;
    }
}

/// Starts a service: migrates and opens its database, listens, serves requests and consumes events.
pub async fn start<S: Service>(settings: ServiceSettings<S::Settings>) -> anyhow::Result<Running> {
    start_by::<S>(settings, Clock::system()).await
}

/// Starts a service as [`start`] does, by another clock: tests have services whose clocks are
/// wrong.
pub async fn start_by<S: Service>(
    settings: ServiceSettings<S::Settings>,
    clock: Clock,
) -> anyhow::Result<Running> {
    let ServiceSettings { kit, own } = settings;
    kit.kafka.check()?;
    migrate::<S>(&kit).await?;
    telemetry::traces::export(&kit.traces);
    let mut registry = telemetry::registry("service", S::NAME);
    let db = open_database::<S>(&kit, &mut registry).await?;
    let api = docs::openapi(S::openapi(), S::NAME, S::ABOUT, S::PROBLEMS);
    let metrics = ServiceMetrics::register::<S>(&kit, &db, &api, &mut registry);
    let context = StartContext {
        own: &own,
        kit: &kit,
        db: &db,
        clock: &clock,
        security: &metrics.observer.security,
        registry: &mut registry,
    };
    let state = S::state(context)
        .await
        .context("the service's state cannot be made")?;

    let work = Background::default();
    let own_keys = S::token_keys(&state);
    let tokens = verify_tokens(&kit, own_keys, &mut registry, &db, clock, &work).await?;
    let listeners = Listeners::open(&kit).await?;
    let (address, https_address) = (listeners.http.local_addr()?, listeners.https_address()?);
    let limits = Arc::new(Limits::new(&kit.limits));
    start_background::<S>(&work, &kit, &db, &state, &limits);
    work.tasks.spawn(metrics.readings.run(work.stop.clone()));

    let context = request_context(&kit, &state, &db, &tokens, &limits, &metrics.observer);
    let server = serve::<S>(&kit, listeners, context, limits, (api, metrics.observer))?;
    let inbox = start_inbox::<S>(&kit, state, &db, metrics.inbox).await?;
    let watch = db.heartbeat().watch(kit.db.postgres.clone(), S::NAME);
    work.spawn_until_stop(watch);
    let ready = readiness(db.heartbeat(), tokens);
    let ops = Ops::start(&kit.ops, Arc::new(Mutex::new(registry)), ready).await?;
    tracing::info!(service = S::NAME, %address, ops = %ops.address, "serving");
    Ok(Running {
        address,
        https_address,
        ops_address: ops.address,
        server,
        inbox,
        work,
        _ops: ops,
    })
}

/// Opens the migrated database, and declares in it the topics that the service publishes to.
async fn open_database<S: Service>(
    kit: &KitSettings,
    registry: &mut Registry,
) -> anyhow::Result<Db> {
    let db = Db::open(&kit.db, S::NAME)
        .await
        .context("the database cannot be opened")?
        .observed(registry);
    outbox::declare_topics(&db, S::PUBLISHES)
        .await
        .context("the topics cannot be declared")?;
    Ok(db)
}

/// The metrics that every service has.
struct ServiceMetrics {
    observer: Observer,
    inbox: inbox::Metrics,
    readings: Readings,
}

impl ServiceMetrics {
    fn register<S: Service>(
        kit: &KitSettings,
        db: &Db,
        api: &OpenApi,
        registry: &mut Registry,
    ) -> Self {
        let security = SecurityLog::register(registry);
        let observer = Observer {
            service: S::NAME,
            metrics: HttpMetrics::register(registry, api),
            security,
        };
        let inbox = inbox::Metrics::register(registry);
        let readings = Readings::register(
            registry,
            S::NAME,
            db,
            kit.idempotency.idempotency_hours,
            Duration::from_millis(kit.readings_every),
            inbox.clone(),
        );
        Self {
            observer,
            inbox,
            readings,
        }
    }
}

/// The tasks of a service beside its requests and events.
#[derive(Default)]
struct Background {
    /// Cancelled when the service stops.
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Background {
    /// Runs `work`, and drops it at the next await when the service stops.
    fn spawn_until_stop(&self, work: impl Future<Output = ()> + Send + 'static) {
        let until_stop = self.stop.clone().run_until_cancelled_owned(work);
        self.tasks.spawn(until_stop);
    }
}

/// Starts the tasks that forget what is old, and the service's own.
fn start_background<S: Service>(
    work: &Background,
    kit: &KitSettings,
    db: &Db,
    state: &S::State,
    limits: &Arc<Limits>,
) {
    let limits = limits.clone();
    work.spawn_until_stop(async move { limits.keep_small().await });
    work.spawn_until_stop(forget_old(db.clone(), kit.clone()));
    let own = S::background(state.clone(), db.clone(), work.stop.clone());
    work.tasks.spawn(own);
}

/// The inbox of the service's subscriptions, if it has any.
async fn start_inbox<S: Service>(
    kit: &KitSettings,
    state: S::State,
    db: &Db,
    metrics: inbox::Metrics,
) -> anyhow::Result<Option<inbox::Running>> {
    let subscriptions = S::subscriptions();
    if subscriptions.topics().is_empty() {
        return Ok(None);
    }
    let db = db.clone();
    let running = inbox::start(subscriptions, state, db, &kit.kafka, &kit.inbox, metrics);
    Ok(Some(running.await?))
}

/// The verifier of access tokens. Until the service stops, it goes on fetching the public keys and
/// the list of void tokens.
async fn verify_tokens(
    kit: &KitSettings,
    own_keys: Option<OwnKeys>,
    registry: &mut Registry,
    db: &Db,
    clock: Clock,
    work: &Background,
) -> anyhow::Result<Tokens> {
    let keys_age = ReadingAge::registered(
        registry,
        "token_keys_age",
        "Age of the public token keys by which the service knows its callers",
    );
    let void = VoidTokens::load(db.clone())
        .await
        .context("the list of void tokens cannot be read")?;
    let tokens = Tokens::new(
        &kit.tokens,
        own_keys,
        db.clone(),
        keys_age,
        void.clone(),
        clock,
    )?;
    work.tasks.spawn(void.keep_current(work.stop.clone()));
    work.tasks
        .spawn(tokens.clone().keep_fresh(work.stop.clone()));
    Ok(tokens)
}

/// The open listeners for requests.
struct Listeners {
    http: TcpListener,
    https: Option<(TcpListener, rustls::ServerConfig)>,
}

impl Listeners {
    async fn open(kit: &KitSettings) -> anyhow::Result<Self> {
        let https = match (kit.https_listen, &kit.https_certificate, &kit.https_key) {
            (Some(address), Some(certificate), Some(key)) => Some((
                listen(address, "HTTPS_LISTEN").await?,
                https::server(certificate, key).context("HTTPS_LISTEN cannot be served")?,
            )),
            _ => None,
        };
        Ok(Self {
            http: listen(kit.http_listen, "HTTP_LISTEN").await?,
            https,
        })
    }

    fn https_address(&self) -> std::io::Result<Option<SocketAddr>> {
        let https = self.https.as_ref();
        https.map(|(listener, _)| listener.local_addr()).transpose()
    }
}

async fn listen(address: Listen, setting: &str) -> anyhow::Result<TcpListener> {
    let listener = async { address.open().await?.into_std() }.await;
    listener.with_context(|| format!("cannot listen on {address}; set {setting} to a free address"))
}

async fn migrate<S: Service>(kit: &KitSettings) -> anyhow::Result<()> {
    /// How long the start waits for a database that starts at the same time.
    const DATABASE_WAIT_MAX: Duration = Duration::from_secs(60);
    const RETRY_DELAY: Duration = Duration::from_millis(500);
    kit.db.check()?;
    let mut waited = Duration::ZERO;
    loop {
        let sets = vec![
            outbox::MIGRATIONS,
            inbox::MIGRATIONS,
            idempotency::MIGRATIONS,
            // After outbox and inbox: its view of the security log reads what operators did there.
            MIGRATIONS,
            S::MIGRATIONS,
        ];
        match db::migrate(&kit.db, sets).await {
            Err(error @ db::MigrateError::Connect(_)) if waited < DATABASE_WAIT_MAX => {
                tracing::warn!(error = cause_chain(&error), "waiting for the database");
                tokio::time::sleep(RETRY_DELAY).await;
                waited += RETRY_DELAY;
            }
            done => return done.context("the database cannot be migrated"),
        }
    }
}

fn request_context<S: Clone>(
    kit: &KitSettings,
    state: &S,
    db: &Db,
    tokens: &Tokens,
    limits: &Arc<Limits>,
    observer: &Observer,
) -> RequestContext<S> {
    RequestContext {
        state: state.clone(),
        db: db.clone(),
        tokens: tokens.clone(),
        claims: Claims::default(),
        security: observer.security.clone(),
        fingerprints: FingerprintKey::new(kit.idempotency.idempotency_secret.expose().as_bytes()),
        keep_hours: kit.idempotency.idempotency_hours,
        fresh_login_seconds: kit.tokens.fresh_login_seconds,
        body_limit: kit.http_body_limit,
        body_timeout: Duration::from_secs(kit.http_body_timeout),
        limits: limits.clone(),
        runtime: Handle::current(),
    }
}

fn serve<S: Service>(
    kit: &KitSettings,
    listeners: Listeners,
    context: RequestContext<S::State>,
    limits: Arc<Limits>,
    (api, observer): (OpenApi, Observer),
) -> anyhow::Result<ServerHandle> {
    let admission = Data::new(Admission {
        limits,
        proxies: kit.trusted_proxies.into(),
    });
    let context = Data::new(context);
    let (observer, methods) = (Data::new(observer), Data::new(Methods::of(&api)));
    let public = Data::new(Public::of(&api));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(context.clone())
            .app_data(observer.clone())
            .app_data(methods.clone())
            .app_data(admission.clone())
            .app_data(public.clone())
            .app_data(
                web::PathConfig::default()
                    .error_handler(|_, _| ApiError::from(BadAddress::Path).into()),
            )
            .app_data(web::QueryConfig::default().error_handler(|error, _| {
                ApiError::from(BadAddress::Query(error.to_string())).into()
            }))
            // A request passes the last of these first.
            .wrap(from_fn(limit::admit))
            .wrap(from_fn(headers::complete))
            .wrap(from_fn(observe::observe))
            .wrap(from_fn(methods::head_as_get))
            .configure(S::routes)
            .configure(|config| docs::routes(config, &api, S::PROBLEMS))
            .default_service(web::to(methods::no_route))
    })
    .workers(usize::from(kit.http_workers))
    // When a client closes its side, its handler is dropped. Changes run on, in tasks of their own.
    .h1_allow_half_closed(false)
    .shutdown_timeout(kit.shutdown_grace)
    .disable_signals()
    .listen(listeners.http)?;
    let server = match listeners.https {
        Some((listener, tls)) => server.listen_rustls_0_23(listener, tls)?,
        None => server,
    };
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(server);
    Ok(handle)
}

#[derive(Debug, thiserror::Error)]
enum BadAddress {
    #[error("the address holds something that cannot be an id or a name")]
    Path,
    #[error("the query cannot be read: {0}")]
    Query(String),
}

impl Classify for BadAddress {
    fn class(&self) -> Class {
        match self {
            Self::Path => Class::NotFound,
            Self::Query(_) => Class::Malformed,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Path => "invalid_path",
            Self::Query(_) => "invalid_query",
        }
    }
}

/// A service is ready while its database answers at all. A slow answer does not count: all replicas
/// share the database, and would all be taken out at once. Kafka does not count either: requests
/// are served without it. The service users counts only when the token keys that were fetched from
/// it are too old to be believed, because then no caller can be verified.
fn readiness(heartbeat: Heartbeat, tokens: Tokens) -> Readiness {
    Arc::new(move || {
        let silence = heartbeat.silent_for();
        let ready = match silence {
            Some(silence) => Err(format!(
                "the database has been silent for {} s",
                silence.as_secs()
            )),
            None => tokens.check(),
        };
        Box::pin(std::future::ready(ready))
    })
}

/// Deletes old idempotency keys and old entries of the security log, until it is dropped.
async fn forget_old(db: Db, kit: KitSettings) {
    tokio::join!(
        purge_keys(db.clone(), kit.idempotency.idempotency_hours),
        security::forget_old(db, kit.security_log_days),
    );
}

async fn purge_keys(db: Db, keep_hours: u32) {
    /// Keys that one transaction deletes at most, so that it holds its locks for a short time.
    const BATCH_MAX: i32 = 1000;
    const INTERVAL: Duration = Duration::from_secs(600);
    const RETRY_DELAY: Duration = Duration::from_secs(60);
    loop {
        let purged = db
            .transaction("kit.purge_keys", async |tx| {
                idempotency::purge(tx, keep_hours, BATCH_MAX).await
            })
            .await;
        match purged {
            Ok(full) if full == usize::try_from(BATCH_MAX).unwrap_or_default() => {}
            Ok(_) => tokio::time::sleep(INTERVAL).await,
            Err(error) => {
                tracing::warn!(
                    error = cause_chain(&error),
                    "old idempotency keys not purged"
                );
                tokio::time::sleep(RETRY_DELAY).await;
            }
        }
    }
}

/// A service's whole `main`: settings from flags and environment, log, then [`start`] until SIGTERM
/// or SIGINT.
pub fn main<S: Service>() -> ExitCode {
    let command = ServiceSettings::<S::Settings>::augment_args(clap::Command::new(S::NAME))
        .about(S::ABOUT)
        .version(env!("CARGO_PKG_VERSION"));
    let settings = match ServiceSettings::<S::Settings>::from_arg_matches(&command.get_matches()) {
        Ok(settings) => settings,
        Err(error) => error.exit(),
    };
    telemetry::init(&settings.kit.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run_until_signal::<S>(settings)),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(service = S::NAME, error = format!("{error:#}"), "ended");
            ExitCode::FAILURE
        }
    }
}

async fn run_until_signal<S: Service>(
    settings: ServiceSettings<S::Settings>,
) -> anyhow::Result<()> {
    if settings.kit.migrate_only {
        return migrate::<S>(&settings.kit).await;
    }
    let mut shutdown = Shutdown::listen(&settings.kit.shutdown)?;
    let started = tokio::select! {
        started = start::<S>(settings) => started?,
        () = shutdown.requested() => return Ok(()),
    };
    shutdown.requested().await;
    tracing::info!(service = S::NAME, "stopping");
    started.stop().await;
    telemetry::traces::flush().await;
    Ok(())
}
