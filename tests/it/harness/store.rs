use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use backing::{Kafka, PerRole, Postgres};
use clap::{Args, FromArgMatches, Parser};
use connect::{KafkaSettings, PostgresSettings};
use gateway::GatewaySettings;
use kernel::Clock;
use outbox_relay::RelaySettings;
use serde_json::json;
use service_kit::{Running, Service, ServiceSettings};
use topics::TopicsSettings;
use tovar::{
    audit,
    client::Client,
    services::{self, ServiceInfo},
    store_file::{Credentials, StoreFile},
    verify::{self, Outcome, Report, Sources},
};
use uuid::Uuid;

use super::{MustSucceed, WITHIN, lossy::Lossy, secure::Secure};

pub const PARTITIONS: i32 = 4;
/// How long the store may take to finish all that is under way.
const AT_REST_WITHIN: Duration = Duration::from_secs(180);
/// The secret with which users encrypts the token keys.
pub const TOKEN_KEY_SECRET: &str = "a key of the tests";
const MANAGER: (&str, &str) = ("manager@example.org", "the manager's password");

/// A running store.
pub struct Store {
    pub guest: Client,
    pub manager: Client,
    pub prefix: String,
    /// Addresses of the databases for each of their roles.
    pub databases: BTreeMap<&'static str, PerRole<String>>,
    /// The same for a superuser, as whom tests read and change rows.
    superuser: BTreeMap<&'static str, String>,
    pub ops: BTreeMap<&'static str, String>,
    backends: Backends,
    services: BTreeMap<&'static str, Running>,
    relays: BTreeMap<&'static str, outbox_relay::Running>,
    gateway: gateway::Running,
}

/// How the store's processes reach PostgreSQL and Kafka.
pub struct Connections {
    pub kafka: KafkaSettings,
    /// From the address of a database for one of its roles.
    pub postgres: Box<dyn Fn(&str) -> PostgresSettings + Send + Sync>,
}

impl Connections {
    /// The settings by which one process reaches Kafka: with a log-in of its own, where the
    /// brokers ask for one.
    pub fn kafka_as(&self, process: &str) -> KafkaSettings {
        let kafka = self.kafka.clone();
        let log_in = kafka
            .kafka_sasl_username
            .as_ref()
            .map(|_| process.to_owned());
        KafkaSettings {
            kafka_sasl_username: log_in,
            ..kafka
        }
    }
}

/// The addresses and settings that stay when a service is stopped and started again.
struct Backends {
    connections: Connections,
    /// The services' HTTP APIs, which the gateway knows.
    addresses: BTreeMap<&'static str, SocketAddr>,
    /// The port of users over TLS, if it has one, and the authority that vouches for it.
    tls: Option<(u16, PathBuf)>,
    /// Settings of single services, and of the gateway.
    own: BTreeMap<&'static str, Vec<String>>,
}

impl Backends {
    /// Adds the settings that a process has in this test, and those `of_all` that the test does
    /// not set itself.
    fn complete(&self, process: &str, arguments: &mut Vec<String>, of_all: &[&str]) {
        let own = self.own.get(process).cloned().unwrap_or_default();
        let name = |setting: &str| setting.split('=').next().map(ToOwned::to_owned);
        arguments.extend(of_all.iter().map(ToString::to_string));
        arguments.retain(|usual| !own.iter().any(|own| name(own) == name(usual)));
        arguments.extend(own);
    }
}

impl Store {
    /// Starts a store on the servers that all tests share.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a store with settings of single services, such as `("orders",
    /// &["--deadline-closing=1"])`.
    pub async fn start_with(own: &[(&'static str, &[&str])]) -> Self {
        let servers = backing::shared().await.expect("the shared servers start");
        Self::start_on_with(&servers.postgres, &servers.kafka, own).await
    }

    /// Starts a store on servers of the test's own.
    pub async fn start_on(postgres: &Postgres, kafka: &Kafka) -> Self {
        Self::start_on_with(postgres, kafka, &[]).await
    }

    /// Starts a store on servers of the test's own, with settings of single services.
    pub async fn start_on_with(
        postgres: &Postgres,
        kafka: &Kafka,
        own: &[(&'static str, &[&str])],
    ) -> Self {
        let prefix = new_topics(kafka).await;
        let connections = Connections {
            kafka: KafkaSettings::new(kafka.bootstrap(), prefix),
            postgres: Box::new(|url| PostgresSettings::new(url)),
        };
        Self::set_up(postgres, connections, own).await
    }

    /// Starts a store on servers that its processes reach over TLS only.
    pub async fn start_secure(servers: &Secure) -> Self {
        let prefix = new_prefix();
        servers.allow(&prefix).await;
        let connections = servers.connections(&prefix);
        let arguments = ["topics", "--partitions", &PARTITIONS.to_string()];
        let topics = TopicsSettings {
            kafka: connections.kafka.clone(),
            ..TopicsSettings::parse_from(arguments)
        };
        topics::make(&topics).await.expect("topics");
        let own = [
            "--https-listen=127.0.0.1:0".to_owned(),
            format!("--https-certificate={}", servers.certificate.display()),
            format!("--https-key={}", servers.certificate.display()),
        ];
        let own = own.each_ref().map(String::as_str);
        let ca = Some(servers.ca.clone());
        Self::set_up_with(&servers.postgres, connections, &[("users", &own)], ca).await
    }

    /// Starts a store on the shared servers, with a connection to PostgreSQL that loses answers.
    pub async fn start_through(lossy: &Lossy) -> Self {
        let servers = backing::shared().await.expect("the shared servers start");
        let prefix = new_topics(&servers.kafka).await;
        let (from, to) = (servers.postgres.port(), lossy.port);
        let connections = Connections {
            kafka: KafkaSettings::new(servers.kafka.bootstrap(), prefix),
            postgres: Box::new(move |url| {
                PostgresSettings::new(url.replace(&format!(":{from}/"), &format!(":{to}/")))
            }),
        };
        Self::set_up(&servers.postgres, connections, &[]).await
    }

    async fn set_up(
        postgres: &Postgres,
        connections: Connections,
        own: &[(&'static str, &[&str])],
    ) -> Self {
        Self::set_up_with(postgres, connections, own, None).await
    }

    /// `ca` is the authority that vouches for users, if users is reached over TLS.
    async fn set_up_with(
        postgres: &Postgres,
        connections: Connections,
        own: &[(&'static str, &[&str])],
        ca: Option<PathBuf>,
    ) -> Self {
        let prefix = connections.kafka.kafka_prefix.clone();
        let mut backends = Backends {
            connections,
            addresses: BTreeMap::new(),
            tls: ca.map(|ca| (0, ca)),
            own: BTreeMap::from([(
                "users",
                vec![
                    format!("--token-key-secret={TOKEN_KEY_SECRET}"),
                    format!("--first-manager-email={}", MANAGER.0),
                    format!("--first-manager-password={}", MANAGER.1),
                ],
            )]),
        };
        for (service, settings) in own {
            let settings = settings.iter().map(ToString::to_string);
            backends.own.entry(service).or_default().extend(settings);
        }
        let (mut databases, mut services, mut relays) =
            (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut superuser = BTreeMap::new();
        let passwords = PerRole {
            owner: "an owner's".to_owned(),
            service: "a service's".to_owned(),
            relay: "a relay's".to_owned(),
            reader: "a reader's".to_owned(),
        };
        for service in SERVICES {
            let name = format!("{prefix}{service}");
            let database = postgres.provision(&name, &passwords).await;
            let database = database.expect("a database with its roles");
            superuser.insert(service, postgres.url(&name));
            let running = start_service(service, &database, &mut backends, Clock::system()).await;
            services.insert(service, running);
            let relay = start_relay(service, &database, &backends.connections).await;
            relays.insert(service, relay);
            databases.insert(service, database);
        }
        let gateway = start_gateway(&backends).await;
        let guest = Client::new(format!("http://{}", gateway.address));
        let manager = guest
            .log_in(MANAGER.0, MANAGER.1)
            .await
            .expect("the manager logs in");
        let ops = services.iter().map(ops_of).collect();
        Self {
            guest,
            manager,
            prefix,
            databases,
            superuser,
            ops,
            backends,
            services,
            relays,
            gateway,
        }
    }

    /// Registers a user, gives them this role, and logs them in.
    pub async fn new_user(&self, role: &str) -> Client {
        let email = format!("{role}-{}@example.org", Uuid::new_v4());
        let password = "their password";
        let user = json!({ "email": email, "password": password, "name": role });
        let user = self.guest.ok_post("/api/users", &user).await;
        let path = format!("/api/users/{}/role", user["id"].as_str().expect("an id"));
        self.manager.ok_put(&path, &json!({ "role": role })).await;
        self.guest
            .log_in(&email, password)
            .await
            .expect("they log in")
    }

    /// Addresses of health and metrics of every process that a store has.
    pub fn all_ops(&self) -> Vec<SocketAddr> {
        let services = self.services.values().map(|service| service.ops_address);
        let relays = self.relays.values().map(|relay| relay.ops_address);
        services
            .chain(relays)
            .chain([self.gateway.ops_address])
            .collect()
    }

    pub fn brokers(&self) -> &str {
        &self.backends.connections.kafka.kafka_brokers
    }

    /// Starts a relay again that was stopped or killed.
    pub async fn start_relay(&mut self, service: &'static str) {
        let relay = start_relay(
            service,
            &self.databases[service],
            &self.backends.connections,
        )
        .await;
        self.relays.insert(service, relay);
    }

    /// Ends a relay as a crash would.
    pub fn kill_relay(&mut self, service: &'static str) {
        self.relays.remove(service).expect("the relay runs").kill();
    }

    /// Stops a service in good order; its relay goes on.
    pub async fn stop_service(&mut self, service: &'static str) {
        self.services
            .remove(service)
            .expect("the service runs")
            .stop()
            .await;
    }

    pub fn gateway_address(&self) -> SocketAddr {
        self.gateway.address
    }

    /// Waits until every answer so far is in the gateway's journal.
    pub async fn journal_written(&self) {
        self.gateway.journal_written().await;
    }

    /// Where a service's HTTP API is, without the gateway.
    pub fn address(&self, service: &str) -> SocketAddr {
        self.backends.addresses[service]
    }

    /// Starts a service again at its old address.
    pub async fn start_service(&mut self, service: &'static str) {
        self.start_service_by(service, Clock::system()).await;
    }

    /// Starts a service again at its old address, with this clock.
    pub async fn start_service_by(&mut self, service: &'static str, clock: Clock) {
        let database = &self.databases[service];
        let running = start_service(service, database, &mut self.backends, clock).await;
        self.ops.extend([ops_of((&service, &running))]);
        self.services.insert(service, running);
    }

    /// A superuser's session in a service's database.
    pub async fn sql(&self, service: &str) -> tokio_postgres::Client {
        session(&self.superuser[service]).await
    }

    /// Where `verify` finds the store.
    pub fn sources(&self) -> Sources {
        Sources {
            readers: self.addresses(|roles| &roles.reader),
            kafka: self.backends.connections.kafka.clone(),
            key_hours: 24,
        }
    }

    /// The addresses of all databases for one of their roles.
    fn addresses(&self, role: fn(&PerRole<String>) -> &String) -> BTreeMap<String, String> {
        let all = self.databases.iter();
        all.map(|(name, roles)| ((*name).to_owned(), role(roles).clone()))
            .collect()
    }

    /// A store file that leads the commands here.
    pub fn file(&self) -> StoreFile {
        let ops = self.ops.iter();
        let ops = ops.map(|(name, url)| ((*name).to_owned(), url.clone()));
        StoreFile {
            base_url: String::new(),
            kafka_brokers: self.brokers().to_owned(),
            kafka_prefix: self.prefix.clone(),
            databases: self.addresses(|roles| &roles.owner),
            readers: self.addresses(|roles| &roles.reader),
            ops: ops.collect(),
            manager: Some(Credentials {
                email: MANAGER.0.to_owned(),
                password: MANAGER.1.to_owned(),
            }),
            pid: std::process::id(),
        }
    }

    /// What `verify` finds as soon as nothing is under way any more.
    pub async fn verified(&self) -> Report {
        verify::settled(&self.sources(), AT_REST_WITHIN)
            .await
            .expect("the store can be read")
    }

    /// Ends the store in good order; fails if anything is left undone or contradicts anything else.
    pub async fn stop(self) {
        let report = self.verified().await;
        assert_eq!(report.outcome, Outcome::Clean, "{}", report.text());
        let audit = audit::all(&self.file(), &services::SERVICES, WITHIN).await;
        let audit = audit.expect("the outboxes and topics can be read");
        assert_eq!(audit.outcome, Outcome::Clean, "{}", audit.text());
        self.end().await;
    }

    /// Ends the store in good order, however things stand in it.
    pub async fn end(self) {
        self.gateway.stop().await;
        for (_, service) in self.services {
            service.stop().await;
        }
        for (_, mut relay) in self.relays {
            relay.stop().await.expect("the relay stops");
        }
    }
}

impl Backends {
    /// The settings by which a process reaches users, over TLS if it has that: an address, and
    /// the authority that vouches for it.
    fn users_settings(&self, url: &str, path: &str, ca: &str) -> Vec<String> {
        match &self.tls {
            None => vec![format!("--{url}=http://{}{path}", self.addresses["users"])],
            Some((port, authority)) => vec![
                format!("--{url}=https://localhost:{port}{path}"),
                format!("--{ca}={}", authority.display()),
            ],
        }
    }
}

/// A session in the database at this address.
pub async fn session(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .expect("a session");
    tokio::spawn(connection);
    client
}

/// All services. users comes first, because it has the token keys.
pub const SERVICES: [&str; 6] = [
    "users",
    "billing",
    "orders",
    "warehouse",
    "delivery",
    "notifications",
];

/// The same settings for every service.
pub fn each(own: &'static [&'static str]) -> [(&'static str, &'static [&'static str]); 6] {
    SERVICES.map(|service| (service, own))
}

/// What the command line knows of a service.
pub fn service(name: &str) -> ServiceInfo {
    services::SERVICES
        .into_iter()
        .find(|service| service.name == name)
        .unwrap()
}

fn ops_of((service, running): (&&'static str, &Running)) -> (&'static str, String) {
    (service, format!("http://{}", running.ops_address))
}

async fn start_service(
    service: &'static str,
    database: &PerRole<String>,
    backends: &mut Backends,
    clock: Clock,
) -> Running {
    match service {
        "users" => start_as::<users::Users>(database, backends, clock).await,
        "billing" => start_as::<billing::Billing>(database, backends, clock).await,
        "orders" => start_as::<orders::Orders>(database, backends, clock).await,
        "warehouse" => start_as::<warehouse::Warehouse>(database, backends, clock).await,
        "delivery" => start_as::<delivery::Delivery>(database, backends, clock).await,
        _ => start_as::<notifications::Notifications>(database, backends, clock).await,
    }
}

async fn start_as<S: Service>(
    database: &PerRole<String>,
    backends: &mut Backends,
    clock: Clock,
) -> Running {
    let listen = backends
        .addresses
        .get(S::NAME)
        .map_or("127.0.0.1:0".to_owned(), ToString::to_string);
    let mut arguments = vec![
        S::NAME.to_owned(),
        format!("--http-listen={listen}"),
        "--http-workers=1".to_owned(),
        "--database-url=postgres://".to_owned(),
        "--idempotency-secret=a secret of the tests".to_owned(),
        "--inbox-retry-most=500".to_owned(),
    ];
    if S::NAME != "users" {
        arguments.extend(backends.users_settings("jwks-url", "/.well-known/jwks.json", "jwks-ca"));
    }
    // All of a test comes from one network.
    backends.complete(
        S::NAME,
        &mut arguments,
        &["--network-rate-limit=1000000", "--login-rate-limit=1000000"],
    );
    let command = ServiceSettings::<S::Settings>::augment_args(clap::Command::new(S::NAME));
    let matches = command
        .try_get_matches_from(arguments)
        .expect("valid settings");
    let mut settings =
        ServiceSettings::<S::Settings>::from_arg_matches(&matches).expect("valid settings");
    settings.kit.db.postgres = (backends.connections.postgres)(&database.service);
    let owner = (backends.connections.postgres)(&database.owner);
    settings.kit.db.migration_database_url = Some(owner.database_url);
    settings.kit.kafka = backends.connections.kafka_as(S::NAME);
    let running = service_kit::start_by::<S>(settings, clock)
        .await
        .expect("the service starts");
    backends.addresses.insert(S::NAME, running.address);
    if let (Some((port, _)), Some(address)) = (&mut backends.tls, running.https_address) {
        *port = address.port();
    }
    running
}

async fn start_gateway(backends: &Backends) -> gateway::Running {
    let mut arguments = vec!["gateway".to_owned(), "--listen=127.0.0.1:0".to_owned()];
    let services = backends
        .addresses
        .iter()
        .filter(|(name, _)| **name != "users");
    arguments.extend(services.map(|(name, address)| format!("--{name}=http://{address}")));
    arguments.extend(backends.users_settings("users", "", "services-ca"));
    backends.complete("gateway", &mut arguments, &["--rate-limit=0"]);
    let settings = GatewaySettings::try_parse_from(arguments).expect("valid settings");
    gateway::start(settings).await.expect("the gateway starts")
}

async fn start_relay(
    service: &str,
    database: &PerRole<String>,
    connections: &Connections,
) -> outbox_relay::Running {
    let source = format!("/tovar/{service}");
    let settings = RelaySettings::new(
        &source,
        (connections.postgres)(&database.relay),
        connections.kafka_as(&format!("{service}-relay")),
    );
    outbox_relay::start(settings)
        .await
        .expect("the relay starts")
}

/// Topics of the store's own; their prefix.
async fn new_topics(kafka: &Kafka) -> String {
    let prefix = new_prefix();
    let topics = contracts::catalogue::TOPICS.iter();
    let topics: Vec<String> = topics.map(|topic| format!("{prefix}{topic}")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    kafka
        .create_topics(&topics, PARTITIONS)
        .await
        .expect("topics");
    prefix
}

fn new_prefix() -> String {
    format!("t{}-", &Uuid::new_v4().simple().to_string()[..8])
}
