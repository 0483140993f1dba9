mod binaries;
mod local;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use testcontainers::{
    ImageExt,
    core::{IntoContainerPort, Mount},
};
use tokio_postgres::{Client, NoTls};

use crate::{
    Means, Progress,
    docker::{self, Contained},
    place::{free_port, name_of, remembered_port},
    tether::{Launch, Tethered},
};

#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Where data is kept between runs; without it they end with the server.
    pub data: Option<PathBuf>,
    /// Password of the superuser `postgres`.
    pub password: String,
    /// The server's settings beyond its defaults.
    pub settings: Vec<(&'static str, &'static str)>,
    /// Image for containers; `TOVAR_POSTGRES_IMAGE` goes before it.
    pub image: String,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            data: None,
            password: "postgres".to_owned(),
            settings: vec![("max_connections", "400")],
            image: std::env::var("TOVAR_POSTGRES_IMAGE").unwrap_or_else(|_| "postgres:17".to_owned()),
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

#[derive(Debug)]
enum Server {
    Local {
        launch: Launch,
        process: Option<Tethered>,
    },
    Docker(Contained),
}

const START: Duration = Duration::from_secs(60);

impl Postgres {
    pub async fn start(
        means: Means,
        options: PostgresOptions,
        progress: Progress<'_>,
    ) -> anyhow::Result<Self> {
        let postgres = match means {
            Means::Local => Self::start_local(options, progress).await,
            Means::Docker => Self::start_docker(options, progress).await,
        };
        let mut postgres = postgres.context("PostgreSQL cannot be started")?;
        postgres.until_ready().await?;
        progress(&postgres.description);
        Ok(postgres)
    }

    async fn start_local(options: PostgresOptions, progress: Progress<'_>) -> anyhow::Result<Self> {
        let (launch, port, version) = local::prepare(&options, progress).await?;
        let process = Some(launch.start()?);
        let description = format!("PostgreSQL {version} on 127.0.0.1:{port}");
        Ok(Self {
            server: Server::Local { launch, process },
            port,
            password: options.password,
            description,
        })
    }

    async fn start_docker(options: PostgresOptions, progress: Progress<'_>) -> anyhow::Result<Self> {
        progress(&format!(
            "starting {} (a first start pulls the image)",
            options.image
        ));
        let mut arguments = Vec::new();
        for (name, value) in &options.settings {
            arguments.extend(["-c".to_owned(), format!("{name}={value}")]);
        }
        let port = match &options.data {
            Some(data) => {
                std::fs::create_dir_all(data)?;
                remembered_port(data, "docker-port")?
            }
            None => free_port()?,
        };
        let mut request = docker::image(&options.image)
            .with_env_var("POSTGRES_PASSWORD", &options.password)
            .with_env_var("PGDATA", "/var/lib/postgresql/data/pgdata")
            .with_cmd(std::iter::once("postgres".to_owned()).chain(arguments))
            .with_mapped_port(port, 5432.tcp())
            .with_startup_timeout(Duration::from_secs(300));
        if let Some(data) = &options.data {
            let volume = name_of(&data.canonicalize()?);
            request = request.with_mount(Mount::volume_mount(volume, "/var/lib/postgresql/data"));
        }
        let container = Contained::start(request).await?;
        let description = format!("PostgreSQL on 127.0.0.1:{port} (container of {})", options.image);
        Ok(Self {
            server: Server::Docker(container),
            port,
            password: options.password,
            description,
        })
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + START;
        loop {
            let error = match self.connect("postgres").await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            if let Server::Local { launch, process } = &mut self.server
                && process.as_mut().is_none_or(Tethered::has_ended)
            {
                bail!(
                    "PostgreSQL ended; {}\nIf the data is broken, start anew with --fresh",
                    launch.last_words()
                );
            }
            if tokio::time::Instant::now() > deadline {
                return Err(error)
                    .with_context(|| format!("PostgreSQL did not answer within {} s", START.as_secs()));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What runs where.
    pub fn describe(&self) -> &str {
        &self.description
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Address of a database for its superuser.
    pub fn url(&self, database: &str) -> String {
        self.address("postgres", &self.password, database)
    }

    fn address(&self, role: &str, password: &str, database: &str) -> String {
        let [role, password, database] = [role, password, database].map(encoded);
        format!("postgres://{role}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// A superuser's session.
    pub async fn connect(&self, database: &str) -> anyhow::Result<Client> {
        let (client, connection) = tokio_postgres::connect(&self.url(database), NoTls).await?;
        // Ends with the client, which also hears of its errors.
        tokio::spawn(connection);
        Ok(client)
    }

    /// A role, and a database of the same name that only this role can reach; the address. What is there already is
    /// kept, with the password changed.
    pub async fn provision(&self, name: &str, password: &str) -> anyhow::Result<String> {
        let client = self.connect("postgres").await?;
        // Roles and grants are shared by all databases: two of us at once would trip over each other.
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
            &[name, password],
        )
        .await?;
        let known = client
            .query_opt("SELECT FROM pg_database WHERE datname = $1", &[&name])
            .await?
            .is_some();
        if !known {
            run(&client, "CREATE DATABASE %1$I OWNER %1$I", &[name]).await?;
        }
        run(&client, "REVOKE ALL ON DATABASE %1$I FROM PUBLIC", &[name]).await?;
        client
            .batch_execute("REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC")
            .await?;
        Ok(self.address(name, password, name))
    }

    /// A new empty database for its superuser; its address.
    pub async fn create_database(&self, name: &str) -> anyhow::Result<String> {
        run(&self.connect("postgres").await?, "CREATE DATABASE %1$I", &[name]).await?;
        Ok(self.url(name))
    }

    /// A copy of a database that nobody is connected to; its address.
    pub async fn clone_database(&self, template: &str, name: &str) -> anyhow::Result<String> {
        run(
            &self.connect("postgres").await?,
            "CREATE DATABASE %1$I TEMPLATE %2$I",
            &[name, template],
        )
        .await?;
        Ok(self.url(name))
    }

    /// Ends the server as a power cut would.
    pub async fn stop_immediately(&mut self) -> anyhow::Result<()> {
        match &mut self.server {
            Server::Local { process, .. } => match process.take() {
                Some(process) => tokio::task::spawn_blocking(move || process.kill()).await?,
                None => Ok(()),
            },
            Server::Docker(container) => container.stop(0).await,
        }
    }

    /// Starts it again after it was stopped, on the same port with the same data.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        match &mut self.server {
            Server::Local { launch, process } => *process = Some(launch.start()?),
            Server::Docker(container) => container.start_again().await?,
        }
        self.until_ready().await
    }

    pub async fn freeze(&self) -> anyhow::Result<()> {
        match &self.server {
            Server::Local { process, .. } => process.iter().for_each(Tethered::freeze),
            Server::Docker(container) => container.freeze().await?,
        }
        Ok(())
    }

    pub async fn thaw(&self) -> anyhow::Result<()> {
        match &self.server {
            Server::Local { process, .. } => process.iter().for_each(Tethered::thaw),
            Server::Docker(container) => container.thaw().await?,
        }
        Ok(())
    }

    /// Ends the server in good order.
    pub async fn stop(self) -> anyhow::Result<()> {
        match self.server {
            Server::Local {
                process: Some(process),
                ..
            } => tokio::task::spawn_blocking(move || process.stop()).await?,
            Server::Local { process: None, .. } => Ok(()),
            Server::Docker(container) => {
                container.stop(30).await?;
                container.remove().await
            }
        }
    }
}

/// Runs a statement that takes no parameters; the server itself quotes the names (%I) and literals (%L) in it.
async fn run(client: &Client, statement: &str, values: &[&str]) -> anyhow::Result<()> {
    let quoted = client
        .query_one(
            "SELECT format($1::text, VARIADIC $2::text[])",
            &[&statement, &values],
        )
        .await?;
    Ok(client.batch_execute(quoted.get(0)).await?)
}

/// As a part of an address (RFC 3986, 2.1).
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}
