mod binaries;
mod local;
mod options;

use anyhow::Context;
use connect::{DatabaseRole, ROLES_SQL};
use testcontainers::ImageExt;
use tokio_postgres::{Client, NoTls};

use crate::{
    Progress, ServerKind,
    docker::{self, Contained, Data},
    server::Server,
};

pub use options::PostgresOptions;

/// A value for each role of a database, such as its password.
#[derive(Clone)]
pub struct PerRole<T> {
    pub owner: T,
    pub service: T,
    pub relay: T,
    pub reader: T,
}

impl<T> PerRole<T> {
    pub fn of(&self, role: DatabaseRole) -> &T {
        match role {
            DatabaseRole::Service => &self.service,
            DatabaseRole::Relay => &self.relay,
            DatabaseRole::Reader => &self.reader,
        }
    }

    fn of_mut(&mut self, role: DatabaseRole) -> &mut T {
        match role {
            DatabaseRole::Service => &mut self.service,
            DatabaseRole::Relay => &mut self.relay,
            DatabaseRole::Reader => &mut self.reader,
        }
    }
}

/// A running PostgreSQL.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    port: u16,
    password: String,
    description: String,
}

impl Postgres {
    pub async fn start(
        kind: ServerKind,
        options: PostgresOptions,
        progress: Progress<'_>,
    ) -> anyhow::Result<Self> {
        let postgres = match kind {
            ServerKind::Local => Self::start_local(options, progress).await,
            ServerKind::Docker => Self::start_docker(options, progress).await,
        };
        let mut postgres = postgres.context("PostgreSQL cannot be started")?;
        postgres.until_ready().await?;
        progress(&postgres.description);
        Ok(postgres)
    }

    async fn start_local(options: PostgresOptions, progress: Progress<'_>) -> anyhow::Result<Self> {
        let (launch, port, version) = local::prepare(&options, progress).await?;
        let server = Server::local(launch)?;
        let description = format!("PostgreSQL {version} on 127.0.0.1:{port}");
        Ok(Self {
            server,
            port,
            password: options.password,
            description,
        })
    }

    async fn start_docker(
        options: PostgresOptions,
        progress: Progress<'_>,
    ) -> anyhow::Result<Self> {
        progress(&format!(
            "starting {} (a first start pulls the image)",
            options.image
        ));
        let settings = options
            .settings
            .iter()
            .flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]);
        let command: Vec<String> = std::iter::once("postgres".to_owned())
            .chain(settings)
            .collect();
        let data = Data {
            inside: "/var/lib/postgresql/data",
            of: options.data.as_deref(),
        };
        let request = |_| {
            docker::image(&options.image)
                .with_env_var("POSTGRES_PASSWORD", &options.password)
                .with_env_var("PGDATA", "/var/lib/postgresql/data/pgdata")
                // Docker's 64 MiB are too few for parallel queries.
                .with_shm_size(256 << 20)
                .with_cmd(command)
        };
        let (container, port) = Contained::start(5432, data, request).await?;
        let description = format!(
            "PostgreSQL on 127.0.0.1:{port} (container of {})",
            options.image
        );
        Ok(Self {
            server: Server::Docker(container),
            port,
            password: options.password,
            description,
        })
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let url = self.url("postgres");
        self.server
            .until_ready("PostgreSQL", async || connect(&url).await.map(drop))
            .await
    }

    /// The server, its version and its address, for people.
    pub fn describe(&self) -> &str {
        &self.description
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of a database for the superuser.
    pub fn url(&self, database: &str) -> String {
        self.address("postgres", &self.password, database)
    }

    fn address(&self, role: &str, password: &str, database: &str) -> String {
        let [role, password, database] = [role, password, database].map(encoded);
        format!(
            "postgres://{role}:{password}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// Opens a session of the superuser.
    pub async fn connect(&self, database: &str) -> anyhow::Result<Client> {
        connect(&self.url(database)).await
    }

    /// Creates a database, its owner of the same name, and its other roles, with these passwords;
    /// returns their addresses. The roles reach this database and no other. A database that exists
    /// is kept, and gets the passwords. The owner grants the rights on its tables.
    pub async fn provision(
        &self,
        name: &str,
        passwords: &PerRole<String>,
    ) -> anyhow::Result<PerRole<String>> {
        let client = self.connect("postgres").await?;
        // All databases share roles and grants, and two sessions that change them at the same time
        // fail.
        client
            .execute("SELECT pg_advisory_lock(hashtext('tovar provision'))", &[])
            .await?;
        let known = client
            .query_opt("SELECT FROM pg_roles WHERE rolname = $1", &[&name])
            .await?
            .is_some();
        let verb = if known { "ALTER" } else { "CREATE" };
        run(
            &client,
            &format!("{verb} ROLE %1$I LOGIN PASSWORD %2$L"),
            &[name, &passwords.owner],
        )
        .await?;
        let known = client
            .query_opt("SELECT FROM pg_database WHERE datname = $1", &[&name])
            .await?
            .is_some();
        if !known {
            run(&client, "CREATE DATABASE %1$I OWNER %1$I", &[name]).await?;
        }
        client
            .batch_execute("REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC")
            .await?;
        self.connect(name).await?.batch_execute(ROLES_SQL).await?;
        let mut addresses = passwords.clone();
        addresses.owner = self.address(name, &passwords.owner, name);
        for role in DatabaseRole::ALL {
            let (own, password) = (role.of(name), passwords.of(role));
            run(&client, "ALTER ROLE %1$I PASSWORD %2$L", &[&own, password]).await?;
            *addresses.of_mut(role) = self.address(&own, password, name);
        }
        Ok(addresses)
    }

    /// Creates an empty database; returns its address for the superuser.
    pub async fn create_database(&self, name: &str) -> anyhow::Result<String> {
        run(
            &self.connect("postgres").await?,
            "CREATE DATABASE %1$I",
            &[name],
        )
        .await?;
        Ok(self.url(name))
    }

    /// Creates an empty database with a locale: options of CREATE DATABASE, such as `LOCALE 'C'`.
    /// Returns its address for the superuser.
    pub async fn create_database_with(&self, name: &str, locale: &str) -> anyhow::Result<String> {
        let statement = format!("CREATE DATABASE %1$I TEMPLATE template0 ENCODING 'UTF8' {locale}");
        run(&self.connect("postgres").await?, &statement, &[name]).await?;
        Ok(self.url(name))
    }

    /// Copies a database that no session is connected to; returns the address of the copy.
    pub async fn clone_database(&self, template: &str, name: &str) -> anyhow::Result<String> {
        run(
            &self.connect("postgres").await?,
            "CREATE DATABASE %1$I TEMPLATE %2$I",
            &[name, template],
        )
        .await?;
        Ok(self.url(name))
    }

    /// Kills the server, as a power cut would.
    pub async fn stop_immediately(&mut self) -> anyhow::Result<()> {
        self.server.kill().await
    }

    /// Whether the server has ended, by itself or because it was killed.
    pub async fn has_ended(&mut self) -> anyhow::Result<bool> {
        self.server.has_ended().await
    }

    /// Starts it again after it was stopped, on the same port with the same data.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.server.start_again().await?;
        self.until_ready().await
    }

    /// Starts it again if it has ended by itself.
    pub async fn revive(&mut self) -> anyhow::Result<()> {
        let ready = self.until_ready().await;
        if ready.is_err() && self.has_ended().await? {
            return self.start_again().await;
        }
        ready
    }

    /// Stops all its processes (SIGSTOP), as when a machine swaps or a virtual machine is moved.
    pub async fn freeze(&self) -> anyhow::Result<()> {
        self.server.freeze().await
    }

    /// Lets its processes continue.
    pub async fn thaw(&self) -> anyhow::Result<()> {
        self.server.thaw().await
    }

    /// Stops the server in good order.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.server.stop().await
    }
}

async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // The task ends with the client, which gets its errors too.
    tokio::spawn(connection);
    Ok(client)
}

/// Runs a statement that takes no parameters; the server itself quotes the names (%I) and literals
/// (%L) in it.
async fn run(client: &Client, statement: &str, values: &[&str]) -> anyhow::Result<()> {
    let quoted = client
        .query_one(
            "SELECT format($1::text, VARIADIC $2::text[])",
            &[&statement, &values],
        )
        .await?;
    Ok(client.batch_execute(quoted.get(0)).await?)
}

/// Encodes a part of an address (RFC 3986, 2.1).
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}
