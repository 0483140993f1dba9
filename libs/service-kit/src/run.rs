use std::{
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

use crate::{
    ApiError, Boot, KitSettings, OwnKeys, Service, ServiceSettings, Tokens, VoidTokens,
    http::{
        call::Kit,
        docs,
        headers::{self, Public},
        limit::{self, Door},
        methods::{self, Methods},
        observe::{self, HttpMetrics, Observer},
    },
    readings::Readings,
    security::{self, SecurityLog},
};

const MIGRATIONS: Migrations = Migrations::new(embed_migrations!(), &RIGHTS);

/// A service adds to the security log, and neither reads nor changes it. The reader sees no
/// network of a person.
const RIGHTS: [Rights; 5] = [
    Rights::of_table("token_key_cache").service("SELECT, INSERT, UPDATE"),
    Rights::of_table("void_tokens").service("SELECT, INSERT, UPDATE, DELETE"),
    Rights::of_table("security_events").service("INSERT"),
    Rights::of_function("security_events_forget").service("EXECUTE"),
    Rights::of_table("security_log")
        .reader("SELECT (at, kind, who, what, whom, trace_id, outcome, reason, database_role)"),
];

/// A service that was started. Dropping it does not stop it; [`Running::stop`] does, in good order.
pub struct Running {
    /// Where the HTTP API is.
    pub address: SocketAddr,
    /// Where it is over TLS, if it is.
    pub https_address: Option<SocketAddr>,
    /// Where health and metrics are.
    pub ops_address: SocketAddr,
    server: ServerHandle,
    inbox: Option<inbox::Running>,
    stop: CancellationToken,
    tasks: TaskTracker,
    _ops: Ops,
}

impl Running {
    /// Finishes the requests that were accepted and the events that are in work, then ends.
    pub async fn stop(self) {
        // First what goes on by itself: a stream that stays open would hold the server up.
        self.stop.cancel();
        self.server.stop(true).await;
        if let Some(inbox) = self.inbox {
            inbox.stop().await;
        }
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Migrates, opens the database, binds, consumes, serves.
pub async fn start<S: Service>(settings: ServiceSettings<S::Settings>) -> anyhow::Result<Running> {
    start_by::<S>(settings, Clock::system()).await
}

/// As [`start`], by another clock: tests have services whose clocks are wrong.
pub async fn start_by<S: Service>(
    settings: ServiceSettings<S::Settings>,
    clock: Clock,
) -> anyhow::Result<Running> {
    let ServiceSettings { kit, own } = settings;
    kit.kafka.check()?;
    migrate::<S>(&kit).await?;
    telemetry::traces::export(&kit.traces);
    let mut registry = telemetry::registry("service", S::NAME);
    let db = Db::open(&kit.db, S::NAME)
        .await
        .context("the database cannot be opened")?
        .observed(&mut registry);
    outbox::declare_topics(&db, S::PUBLISHES)
        .await
        .context("the topics cannot be declared")?;

    let api = docs::openapi::<S>();
    let security = SecurityLog::register(&mut registry);
    let observer = Observer {
        service: S::NAME,
        metrics: HttpMetrics::register(&mut registry, &api),
        security: security.clone(),
    };
    let inbox_metrics = inbox::Metrics::register(&mut registry);
    let readings = Readings::register(
        &mut registry,
        S::NAME,
        &db,
        kit.idempotency.idempotency_hours,
        Duration::from_millis(kit.readings_every),
        inbox_metrics.clone(),
    );
    let boot = Boot {
        own: &own,
        kit: &kit,
        db: &db,
        clock: &clock,
        security: &security,
        registry: &mut registry,
    };
    let state = S::state(boot)
        .await
        .context("the service's state cannot be made")?;

    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let own_keys = S::token_keys(&state);
    let tokens = tokens(&kit, own_keys, &mut registry, &db, clock, (&tasks, &stop)).await?;
    let doors = Doors::open(&kit).await?;
    let (address, https_address) = (doors.http.local_addr()?, doors.https_address()?);
    let limits = Arc::new(Limits::new(&kit.limits));
    let sweeper = limits.clone();
    tasks.spawn(
        stop.clone()
            .run_until_cancelled_owned(async move { sweeper.keep_small().await }),
    );
    tasks.spawn(
        stop.clone()
            .run_until_cancelled_owned(forget_old(db.clone(), kit.clone())),
    );
    tasks.spawn(S::background(state.clone(), db.clone(), stop.clone()));
    tasks.spawn(readings.run(stop.clone()));

    let server = serve::<S>(
        &kit,
        doors,
        state.clone(),
        db.clone(),
        tokens.clone(),
        limits,
        (api, observer),
    )?;
    let subscriptions = S::subscriptions();
    let inbox = if subscriptions.topics().is_empty() {
        None
    } else {
        Some(
            inbox::start(
                subscriptions,
                state,
                db.clone(),
                &kit.kafka,
                &kit.inbox,
                inbox_metrics,
            )
            .await?,
        )
    };
    let watch = db.heartbeat().watch(kit.db.postgres.clone(), S::NAME);
    tasks.spawn(stop.clone().run_until_cancelled_owned(watch));
    let ready = readiness(db.heartbeat(), tokens);
    let ops = Ops::start(&kit.ops, Arc::new(Mutex::new(registry)), ready).await?;
    tracing::info!(service = S::NAME, %address, ops = %ops.address, "serving");
    Ok(Running {
        address,
        https_address,
        ops_address: ops.address,
        server,
        inbox,
        stop,
        tasks,
        _ops: ops,
    })
}

/// Knows whose tokens count, and goes on learning it until `stop`.
async fn tokens(
    kit: &KitSettings,
    own_keys: Option<OwnKeys>,
    registry: &mut Registry,
    db: &Db,
    clock: Clock,
    (tasks, stop): (&TaskTracker, &CancellationToken),
) -> anyhow::Result<Tokens> {
    let keys_age = ReadingAge::registered(
        registry,
        "token_keys_age",
        "Age of the public token keys by which the service knows its callers",
    );
    let void = VoidTokens::load(db.clone())
        .await
        .context("it cannot be read whose tokens are void")?;
    let tokens = Tokens::new(
        &kit.tokens,
        own_keys,
        db.clone(),
        keys_age,
        void.clone(),
        clock,
    )?;
    tasks.spawn(void.keep_current(stop.clone()));
    tasks.spawn(tokens.clone().keep_fresh(stop.clone()));
    Ok(tokens)
}

/// Where requests come in.
struct Doors {
    http: TcpListener,
    https: Option<(TcpListener, rustls::ServerConfig)>,
}

impl Doors {
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
    kit.db.check()?;
    let mut waited = Duration::ZERO;
    loop {
        let sets = vec![
            outbox::MIGRATIONS,
            inbox::MIGRATIONS,
            idempotency::MIGRATIONS,
            // Its view of the security log is over what operators did to outbox and inbox.
            MIGRATIONS,
            S::MIGRATIONS,
        ];
        match db::migrate(&kit.db, sets).await {
            // A database that starts beside us may need a moment.
            Err(error @ db::MigrateError::Connect(_)) if waited < Duration::from_secs(60) => {
                let pause = Duration::from_millis(500);
                tracing::warn!(error = cause_chain(&error), "waiting for the database");
                tokio::time::sleep(pause).await;
                waited += pause;
            }
            done => return done.context("the database cannot be migrated"),
        }
    }
}

fn serve<S: Service>(
    kit: &KitSettings,
    doors: Doors,
    state: S::State,
    db: Db,
    tokens: Tokens,
    limits: Arc<Limits>,
    (api, observer): (utoipa::openapi::OpenApi, Observer),
) -> anyhow::Result<ServerHandle> {
    let door = Data::new(Door {
        limits: limits.clone(),
        proxies: kit.trusted_proxies.into(),
    });
    let shared = Data::new(Kit {
        state,
        db,
        tokens,
        claims: Claims::default(),
        security: observer.security.clone(),
        fingerprints: FingerprintKey::new(kit.idempotency.idempotency_secret.expose().as_bytes()),
        keep_hours: kit.idempotency.idempotency_hours,
        fresh_login_seconds: kit.tokens.fresh_login_seconds,
        body_limit: kit.http_body_limit,
        body_timeout: Duration::from_secs(kit.http_body_timeout),
        limits,
        runtime: Handle::current(),
    });
    let (observer, methods) = (Data::new(observer), Data::new(Methods::of(&api)));
    let public = Data::new(Public::of(&api));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(shared.clone())
            .app_data(observer.clone())
            .app_data(methods.clone())
            .app_data(door.clone())
            .app_data(public.clone())
            .app_data(
                web::PathConfig::default()
                    .error_handler(|_, _| ApiError::from(BadAddress::Path).into()),
            )
            .app_data(web::QueryConfig::default().error_handler(|error, _| {
                ApiError::from(BadAddress::Query(error.to_string())).into()
            }))
            // The last one comes first.
            .wrap(from_fn(limit::admit))
            .wrap(from_fn(headers::complete))
            .wrap(from_fn(observe::observe))
            .wrap(from_fn(methods::head_as_get))
            .configure(S::routes)
            .configure(|config| docs::routes(config, &api, S::PROBLEMS))
            .default_service(web::to(methods::no_route))
    })
    .workers(usize::from(kit.http_workers))
    // A client that closes its side is gone: what waits for it ends. What changes something runs
    // on, in a task of its own.
    .h1_allow_half_closed(false)
    .shutdown_timeout(kit.shutdown_grace)
    .disable_signals()
    .listen(doors.http)?;
    let server = match doors.https {
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

/// Ready while the database answers anyone, however busy this process is with it: all replicas have
/// the same one, and what is slow for one would take all of them out. Kafka does not count:
/// requests are served without it. Nor does users, until the token keys that it once told are too
/// old to be believed: then no caller is known.
fn readiness(pulse: Heartbeat, tokens: Tokens) -> Readiness {
    Arc::new(move || {
        let silence = pulse.silent_for();
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

/// Forgets what has been kept for long enough.
async fn forget_old(db: Db, kit: KitSettings) {
    tokio::join!(
        purge_keys(db.clone(), kit.idempotency.idempotency_hours),
        security::forget_old(db, kit.security_log_days),
    );
}

async fn purge_keys(db: Db, keep_hours: u32) {
    const BATCH: i32 = 1000;
    loop {
        let purged = db
            .transaction("kit.purge_keys", async |tx| {
                idempotency::purge(tx, keep_hours, BATCH).await
            })
            .await;
        match purged {
            Ok(full) if full == usize::try_from(BATCH).unwrap_or_default() => {}
            Ok(_) => tokio::time::sleep(Duration::from_secs(600)).await,
            Err(error) => {
                tracing::warn!(
                    error = cause_chain(&error),
                    "old idempotency keys not purged"
                );
                tokio::time::sleep(Duration::from_secs(60)).await;
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
        () = shutdown.wished() => return Ok(()),
    };
    shutdown.wished().await;
    tracing::info!(service = S::NAME, "stopping");
    started.stop().await;
    telemetry::traces::flush().await;
    Ok(())
}
