use std::{
    fmt::Write,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use backing::Postgres;
use connect::{KafkaSecurity, KafkaSettings, PostgresSettings, Secret, SslMode};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
};
use tovar::{client::wait_for, services::SERVICES};

use super::store::Connections;

/// The user of the store's processes in PostgreSQL, and Kafka's superuser. In Kafka each process
/// has a name of its own, with this password.
const USER: (&str, &str) = ("shop", "the shop's password");
/// The one name that the servers' certificate vouches for.
const HOST: &str = "localhost";
const LOG_IN: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// A PostgreSQL that lets `shop` in over TLS only, and a Kafka that knows TLS with a log-in only.
pub struct Secure {
    pub postgres: Postgres,
    kafka_port: u16,
    /// The class path of Kafka's programs.
    classpath: String,
    /// The authority that vouches for both, and one that does not.
    pub ca: PathBuf,
    /// The servers' certificate, with its private key.
    pub certificate: PathBuf,
    pub other_ca: PathBuf,
    _kafka: Child,
    folder: TempDir,
}

impl Secure {
    /// `None` without a JDK and Maven, because Kafka runs as a local process.
    pub async fn start() -> Option<Self> {
        let maven = Command::new("mvn")
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .await;
        if !maven.is_ok_and(|status| status.success()) {
            eprintln!("skipped: it needs a Kafka of its own, which comes with a JDK and Maven");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let authority = authority("an authority");
        fs::write(at("ca.pem"), authority.pem()).unwrap();
        fs::write(at("other.pem"), self::authority("another authority").pem()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([HOST.to_owned()]).unwrap();
        let certificate = certificate.signed_by(&key, &authority).unwrap();

        let postgres = backing::own_postgres().await.unwrap();
        demand_tls(&postgres, &certificate, &key).await;
        fs::write(at("server.pem"), key.serialize_pem() + &certificate.pem()).unwrap();
        let (kafka, kafka_port, classpath) = start_kafka(folder.path()).await;
        let secure = Self {
            postgres,
            kafka_port,
            classpath,
            ca: at("ca.pem"),
            certificate: at("server.pem"),
            other_ca: at("other.pem"),
            _kafka: kafka,
            folder,
        };
        let settings = secure.kafka("");
        wait_for("Kafka to start", STARTS_WITHIN, async || {
            Ok(greets(&settings).await)
        })
        .await
        .unwrap();
        Some(secure)
    }

    /// Allows each process of a store what the charts allow it.
    pub async fn allow(&self, prefix: &str) {
        let mut lines = String::new();
        for service in SERVICES {
            let name = service.name;
            let mut line = |who: &str, operation: &str, what: &str| {
                let _ = writeln!(lines, "{who} {operation} {what}");
            };
            line(name, "READ", &format!("GROUP {prefix}{name}"));
            for topic in service.reads() {
                line(name, "READ", &format!("TOPIC {prefix}{topic}"));
            }
            let relay = format!("{name}-relay");
            line(&relay, "IDEMPOTENT_WRITE", "CLUSTER kafka-cluster");
            if let Some(topic) = service.topic {
                line(&relay, "WRITE", &format!("TOPIC {prefix}{topic}"));
            }
        }
        let (folder, (user, password)) = (self.folder.path(), USER);
        let properties = format!(
            "bootstrap.servers={HOST}:{}\nsecurity.protocol=SASL_SSL\n\
             sasl.mechanism=SCRAM-SHA-512\n\
             sasl.jaas.config={LOG_IN} required username=\"{user}\" password=\"{password}\";\n\
             ssl.truststore.type=PEM\nssl.truststore.location={}\n",
            self.kafka_port,
            self.ca.display(),
        );
        let (file, source) = (folder.join("client.properties"), folder.join("Allow.java"));
        fs::write(&file, properties).unwrap();
        fs::write(&source, include_str!("Allow.java")).unwrap();
        let mut java = Command::new("java");
        java.args(["-Xmx128m", "-cp", &self.classpath])
            .arg(&source)
            .arg(&file);
        java.stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut allowing = java.spawn().unwrap();
        let mut words = allowing.stdin.take().unwrap();
        words.write_all(lines.as_bytes()).await.unwrap();
        drop(words);
        let done = allowing.wait_with_output().await.unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }

    /// The settings that a store gets from its operator.
    pub fn connections(&self, prefix: &str) -> Connections {
        let (port, ca) = (self.postgres.port(), self.ca.clone());
        Connections {
            kafka: self.kafka(prefix),
            postgres: Box::new(move |url| {
                let database = url.rsplit('/').next().unwrap();
                postgres(HOST, port, database, SslMode::VerifyFull, Some(&ca))
            }),
        }
    }

    pub fn kafka(&self, prefix: &str) -> KafkaSettings {
        KafkaSettings {
            kafka_security: KafkaSecurity::SaslSsl,
            kafka_ca: Some(self.ca.clone()),
            kafka_sasl_mechanism: "SCRAM-SHA-512".to_owned(),
            kafka_sasl_username: Some(USER.0.to_owned()),
            kafka_sasl_password: Some(Secret::new(USER.1)),
            ..KafkaSettings::new(format!("{HOST}:{}", self.kafka_port), prefix)
        }
    }

    /// Whether PostgreSQL can be reached at this host's name, in this mode.
    pub async fn reaches_postgres(&self, host: &str, mode: SslMode, ca: Option<&Path>) -> bool {
        let settings = postgres(host, self.postgres.port(), "postgres", mode, ca);
        settings.open("a test").await.is_ok()
    }

    /// PostgreSQL at a host's name, by an address alone.
    pub fn address(&self, host: &str, parameters: &str) -> String {
        let settings = postgres(
            host,
            self.postgres.port(),
            "postgres",
            SslMode::Disable,
            None,
        );
        format!("{}?{parameters}", settings.database_url.expose())
    }
}

fn postgres(
    host: &str,
    port: u16,
    database: &str,
    mode: SslMode,
    ca: Option<&Path>,
) -> PostgresSettings {
    let (user, password) = (USER.0, USER.1.replace(' ', "%20"));
    PostgresSettings {
        database_sslmode: mode,
        database_ca: ca.map(Path::to_owned),
        ..PostgresSettings::new(format!(
            "postgres://{user}:{password}@{host}:{port}/{database}"
        ))
    }
}

/// Whether Kafka can be reached with these settings.
pub async fn greets(kafka: &KafkaSettings) -> bool {
    let mut config = kafka.client_config("a test");
    config.set("log_level", "0");
    let consumer: BaseConsumer = config.create().unwrap();
    let metadata = move || {
        consumer
            .fetch_metadata(None, Duration::from_secs(4))
            .is_ok()
    };
    tokio::task::spawn_blocking(metadata).await.unwrap()
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// By SQL alone, so that it is the same for a container. A server's programs run in its data
/// folder.
async fn demand_tls(postgres: &Postgres, certificate: &Certificate, key: &KeyPair) {
    let client = postgres.connect("postgres").await.unwrap();
    let (user, password) = USER;
    let lines = |text: &str| {
        format!(
            "SELECT unnest(string_to_array('{}', E'\\n'))",
            text.trim_end()
        )
    };
    let certificate = lines(&certificate.pem().replace('\r', ""));
    let key = lines(&key.serialize_pem().replace('\r', ""));
    for statement in [
        format!(
            "CREATE ROLE {user} LOGIN SUPERUSER PASSWORD '{}'",
            password.replace('\'', "''")
        ),
        format!("COPY ({certificate}) TO PROGRAM 'cat >server.crt'"),
        format!("COPY ({key}) TO PROGRAM 'umask 077; cat >server.key'"),
        // PostgreSQL takes the first line that matches.
        format!(
            "COPY (SELECT 'hostnossl all {user} all reject') TO PROGRAM \
             'cat - pg_hba.conf >pg_hba.new && mv pg_hba.new pg_hba.conf'"
        ),
        "ALTER SYSTEM SET ssl = on".to_owned(),
        "SELECT pg_reload_conf()".to_owned(),
    ] {
        client.batch_execute(&statement).await.unwrap();
    }
    wait_for("PostgreSQL to know TLS", STARTS_WITHIN, async || {
        let client = postgres.connect("postgres").await?;
        let on: String = client.query_one("SHOW ssl", &[]).await?.get(0);
        Ok(on == "on")
    })
    .await
    .unwrap();
}

/// Starts a broker with one listener for clients, and one for its controller.
async fn start_kafka(folder: &Path) -> (Child, u16, String) {
    let jars = [
        "org.apache.kafka:kafka_2.13:4.1.0",
        "org.slf4j:slf4j-simple:1.7.36",
    ];
    let jars = backing::jars(&jars, &|_| {}).await.unwrap();
    let classpath = format!("{}/*", jars.display());
    let ports = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let [port, controller] = ports.map(|listener| listener.local_addr().unwrap().port());
    let at = folder.display();
    let (user, password) = USER;
    let properties = format!(
        "process.roles=broker,controller\nnode.id=1\n\
         listeners=CLIENTS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=CLIENTS://{HOST}:{port}\n\
         listener.security.protocol.map=CLIENTS:SASL_SSL,CONTROLLER:PLAINTEXT\n\
         controller.listener.names=CONTROLLER\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
         inter.broker.listener.name=CLIENTS\nsasl.mechanism.inter.broker.protocol=SCRAM-SHA-512\n\
         sasl.enabled.mechanisms=SCRAM-SHA-512\n\
         listener.name.clients.scram-sha-512.sasl.jaas.config={LOG_IN} required \
         username=\"{user}\" password=\"{password}\";\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:{user};User:ANONYMOUS\n\
         ssl.keystore.type=PEM\nssl.keystore.location={at}/server.pem\n\
         ssl.truststore.type=PEM\nssl.truststore.location={at}/ca.pem\n\
         log.dirs={at}/log\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\nauto.create.topics.enable=false\n",
    );
    let file = folder.join("server.properties");
    fs::write(&file, properties).unwrap();
    let java = |main: &[&str]| {
        let mut java = Command::new("java");
        java.args([
            "-Xmx256m",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
            "-cp",
            &classpath,
        ]);
        java.args(main)
            .arg(&file)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        java
    };
    let processes =
        SERVICES.map(|service| [service.name.to_owned(), format!("{}-relay", service.name)]);
    let users = processes.into_iter().flatten().chain([user.to_owned()]);
    let known =
        users.map(|user| format!("--add-scram=SCRAM-SHA-512=[name={user},password={password}]"));
    let known: Vec<String> = known.collect();
    let mut format = vec![
        "kafka.tools.StorageTool",
        "format",
        "-t",
        "TovarTovarTovarTovarTw",
    ];
    format.extend(known.iter().map(String::as_str));
    format.push("-c");
    let formatted = java(&format).output().await.unwrap();
    assert!(
        formatted.status.success(),
        "{}",
        String::from_utf8_lossy(&formatted.stderr)
    );
    let kafka = java(&["kafka.Kafka"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    (kafka, port, classpath)
}
