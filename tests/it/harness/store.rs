use std::collections::BTreeMap;

use backing::{Kafka, Postgres};
use clap::{Args, FromArgMatches, Parser};
use connect::{KafkaSettings, PostgresSettings};
use gateway::GatewaySettings;
use outbox_relay::RelaySettings;
use service_kit::{Running, Service, ServiceSettings};
use tovar::{
    client::Client,
    store_file::{Credentials, StoreFile},
    verify::{self, Outcome, Report, Sources},
};

use super::WITHIN;

pub const PARTITIONS: i32 = 4;
const MANAGER: (&str, &str) = ("manager@example.org", "the manager's password");

/// A running store.
pub struct Store {
    pub guest: Client,
    pub manager: Client,
    pub prefix: String,
    pub databases: BTreeMap<&'static str, String>,
    readers: BTreeMap<String, String>,
    pub ops: BTreeMap<&'static str, String>,
    brokers: String,
    services: BTreeMap<&'static str, Running>,
    /// What each service was started with.
    arguments: BTreeMap<&'static str, Vec<String>>,
    relays: BTreeMap<&'static str, outbox_relay::Running>,
    gateway: gateway::Running,
}

impl Store {
    /// On the servers that all tests share.
    pub async fn start() -> Self {
        let servers = backing::shared().await.expect("the shared servers start");
        Self::start_on(&servers.postgres, &servers.kafka).await
    }

    /// On servers of the test's own.
    pub async fn start_on(postgres: &Postgres, kafka: &Kafka) -> Self {
        let prefix = format!("t{}-", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let topics: Vec<String> = contracts::catalogue::TOPICS
            .iter()
            .map(|topic| format!("{prefix}{topic}"))
            .collect();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        kafka.create_topics(&topics, PARTITIONS).await.expect("topics");

        let mut store = Starting {
            postgres,
            brokers: kafka.bootstrap(),
            prefix,
            ..Starting::new(postgres)
        };
        store
            .service::<users::Users>(&[
                "--first-manager-email",
                MANAGER.0,
                "--first-manager-password",
                MANAGER.1,
            ])
            .await;
        store.service::<billing::Billing>(&[]).await;
        store.service::<orders::Orders>(&[]).await;
        store.service::<warehouse::Warehouse>(&[]).await;
        store.service::<delivery::Delivery>(&[]).await;
        store.service::<notifications::Notifications>(&[]).await;
        store.finish().await
    }

    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Starts a relay again that was stopped or killed.
    pub async fn start_relay(&mut self, service: &'static str) {
        let relay = start_relay(service, &self.databases[service], &self.brokers, &self.prefix).await;
        self.relays.insert(service, relay);
    }

    /// Ends a relay as a crash would.
    pub fn kill_relay(&mut self, service: &'static str) {
        self.relays.remove(service).expect("the relay runs").kill();
    }

    /// Stops a service in good order; its relay goes on.
    pub async fn stop_service(&mut self, service: &str) {
        let running = self.services.remove(service).expect("the service runs");
        running.stop().await;
    }

    /// Starts a service again that was stopped.
    pub async fn start_service<S: Service>(&mut self) {
        let running = start_service::<S>(&self.arguments[S::NAME]).await;
        self.services.insert(S::NAME, running);
    }

    /// A session in a service's database.
    pub async fn sql(&self, service: &str) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(&self.databases[service], tokio_postgres::NoTls)
            .await
            .expect("a session");
        tokio::spawn(connection);
        client
    }

    /// Where `verify` finds the store.
    pub fn sources(&self) -> Sources {
        Sources {
            readers: self.readers.clone(),
            kafka: KafkaSettings::new(&self.brokers, &self.prefix),
            key_hours: 24,
        }
    }

    /// A store file that leads the commands here.
    pub fn file(&self) -> StoreFile {
        let by_name = |addresses: &BTreeMap<&'static str, String>| {
            let owned = addresses
                .iter()
                .map(|(name, url)| ((*name).to_owned(), url.clone()));
            owned.collect()
        };
        StoreFile {
            base_url: String::new(),
            kafka_brokers: self.brokers.clone(),
            kafka_prefix: self.prefix.clone(),
            databases: by_name(&self.databases),
            readers: self.readers.clone(),
            ops: by_name(&self.ops),
            manager: Credentials {
                email: MANAGER.0.to_owned(),
                password: MANAGER.1.to_owned(),
            },
            pid: std::process::id(),
        }
    }

    /// What `verify` finds as soon as nothing is under way any more.
    pub async fn verified(&self) -> Report {
        verify::settled(&self.sources(), WITHIN)
            .await
            .expect("the store can be read")
    }

    /// Ends the store in good order; fails if anything is left undone or contradicts anything else.
    pub async fn stop(self) {
        let report = self.verified().await;
        assert_eq!(report.outcome, Outcome::Clean, "{}", report.text());
        self.gateway.stop().await;
        for (_, service) in self.services {
            service.stop().await;
        }
        for (_, mut relay) in self.relays {
            relay.stop().await.expect("the relay stops");
        }
    }
}

struct Starting<'p> {
    postgres: &'p Postgres,
    brokers: String,
    prefix: String,
    jwks_url: Option<String>,
    databases: BTreeMap<&'static str, String>,
    readers: BTreeMap<String, String>,
    ops: BTreeMap<&'static str, String>,
    addresses: BTreeMap<&'static str, String>,
    services: BTreeMap<&'static str, Running>,
    arguments: BTreeMap<&'static str, Vec<String>>,
    relays: BTreeMap<&'static str, outbox_relay::Running>,
}

impl<'p> Starting<'p> {
    fn new(postgres: &'p Postgres) -> Self {
        Self {
            postgres,
            brokers: String::new(),
            prefix: String::new(),
            jwks_url: None,
            databases: BTreeMap::new(),
            readers: BTreeMap::new(),
            ops: BTreeMap::new(),
            addresses: BTreeMap::new(),
            services: BTreeMap::new(),
            arguments: BTreeMap::new(),
            relays: BTreeMap::new(),
        }
    }

    async fn service<S: Service>(&mut self, own: &[&str]) {
        let name = format!("{}{}", self.prefix, S::NAME);
        let database = self.postgres.create_database(&name).await.expect("a database");
        let reader = self.postgres.provision_reader(&name, "a reader's").await;
        self.readers
            .insert(S::NAME.to_owned(), reader.expect("a role that reads"));
        let mut arguments = vec![
            S::NAME.to_owned(),
            "--http-listen=127.0.0.1:0".to_owned(),
            "--http-workers=1".to_owned(),
            format!("--database-url={database}"),
            format!("--kafka-brokers={}", self.brokers),
            format!("--kafka-prefix={}", self.prefix),
            "--idempotency-secret=a secret of the tests".to_owned(),
            "--inbox-retry-most=500".to_owned(),
        ];
        arguments.extend(self.jwks_url.iter().map(|url| format!("--jwks-url={url}")));
        arguments.extend(own.iter().map(ToString::to_string));
        let running = start_service::<S>(&arguments).await;
        // Where the gateway will look for it also when it is started again.
        arguments[1] = format!("--http-listen={}", running.address);
        self.arguments.insert(S::NAME, arguments);
        let address = format!("http://{}", running.address);
        self.jwks_url
            .get_or_insert_with(|| format!("{address}/.well-known/jwks.json"));
        self.addresses.insert(S::NAME, address);
        self.ops
            .insert(S::NAME, format!("http://{}", running.ops_address));
        self.services.insert(S::NAME, running);
        let relay = start_relay(S::NAME, &database, &self.brokers, &self.prefix).await;
        self.relays.insert(S::NAME, relay);
        self.databases.insert(S::NAME, database);
    }

    async fn finish(self) -> Store {
        let mut arguments = vec!["gateway".to_owned(), "--listen=127.0.0.1:0".to_owned()];
        arguments.extend(
            self.addresses
                .iter()
                .map(|(name, address)| format!("--{name}={address}")),
        );
        let settings = GatewaySettings::try_parse_from(arguments).expect("valid settings");
        let gateway = gateway::start(settings).await.expect("the gateway starts");
        let guest = Client::new(format!("http://{}", gateway.address));
        let manager = guest
            .log_in(MANAGER.0, MANAGER.1)
            .await
            .expect("the manager logs in");
        Store {
            guest,
            manager,
            prefix: self.prefix,
            databases: self.databases,
            readers: self.readers,
            ops: self.ops,
            brokers: self.brokers,
            services: self.services,
            arguments: self.arguments,
            relays: self.relays,
            gateway,
        }
    }
}

async fn start_service<S: Service>(arguments: &[String]) -> Running {
    let command = ServiceSettings::<S::Settings>::augment_args(clap::Command::new(S::NAME));
    let matches = command.try_get_matches_from(arguments).expect("valid settings");
    let settings = ServiceSettings::<S::Settings>::from_arg_matches(&matches).expect("valid settings");
    service_kit::start::<S>(settings)
        .await
        .expect("the service starts")
}

async fn start_relay(service: &str, database: &str, brokers: &str, prefix: &str) -> outbox_relay::Running {
    let source = format!("/tovar/{service}");
    let settings = RelaySettings::new(
        &source,
        PostgresSettings::new(database),
        KafkaSettings::new(brokers, prefix),
    );
    outbox_relay::start(settings).await.expect("the relay starts")
}
