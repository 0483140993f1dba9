//! A relay behind PgBouncer. The tests are skipped where it is not installed.

use std::{
    fs::{self, DirBuilder},
    os::unix::{
        fs::{DirBuilderExt, chown},
        process::CommandExt,
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use connect::PostgresSettings;
use outbox_relay::RelaySettings;
use uuid::Uuid;

use crate::store::{Store, until};

/// An unprivileged user's id, because PgBouncer does not run as root.
const UNPRIVILEGED: u32 = 65_534;

/// A PgBouncer in front of a store's database; killed when this is dropped.
struct PgBouncer {
    child: Child,
    folder: PathBuf,
    url: String,
}

impl PgBouncer {
    /// With these settings beside its defaults; `None` where it is not installed.
    async fn start(store: &Store, settings: &str) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let program = std::env::split_paths(&path)
            .chain(["/usr/sbin".into()])
            .map(|folder| folder.join("pgbouncer"))
            .find(|program| program.is_file());
        let Some(program) = program else {
            println!("skipped: there is no pgbouncer here");
            return None;
        };
        let folder = std::env::temp_dir().join(format!("pgbouncer-{}", Uuid::now_v7()));
        DirBuilder::new().mode(0o700).create(&folder).unwrap();
        let postgres: tokio_postgres::Config = store.url.parse().unwrap();
        let (server, name) = (postgres.get_ports()[0], postgres.get_dbname().unwrap());
        let password = String::from_utf8_lossy(postgres.get_password().unwrap());
        let users = folder.join("users");
        fs::write(&users, format!("\"postgres\" \"{password}\"\n")).unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let ini = format!(
            "[databases]\n{name} = host=127.0.0.1 port={server} user=postgres password={password}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = plain\nauth_file = {}\n{settings}\n",
            users.display()
        );
        let file = folder.join("pgbouncer.ini");
        fs::write(&file, ini).unwrap();
        let mut command = Command::new(program);
        command
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if nix::unistd::geteuid().is_root() {
            for path in [&folder, &file, &users] {
                chown(path, Some(UNPRIVILEGED), Some(UNPRIVILEGED)).unwrap();
            }
            command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
        }
        let child = command.spawn().unwrap();
        let bouncer = Self {
            child,
            folder,
            url: format!("postgres://postgres:{password}@127.0.0.1:{port}/{name}"),
        };
        until("PgBouncer listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .is_ok()
        })
        .await;
        Some(bouncer)
    }

    fn relay(&self, store: &Store) -> RelaySettings {
        let mut settings = store.settings();
        settings.postgres = PostgresSettings::new(&self.url);
        settings
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

async fn is_refused(settings: &str) {
    let store = Store::new().await;
    let Some(bouncer) = PgBouncer::start(&store, settings).await else {
        return;
    };
    let mut relay = outbox_relay::start(bouncer.relay(&store)).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(30), relay.ended()).await;
    let error = format!("{:#}", ended.expect("it goes on").unwrap_err());
    assert!(
        error.contains("a connection pooler such as PgBouncer"),
        "{error}"
    );
    assert!(error.contains("PostgreSQL's own address"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_behind_a_pooler_as_it_comes_says_what_is_in_its_way() {
    is_refused("").await;
}

/// This pooler ignores the session's parameters, so the relay recognises it only by its behaviour.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_behind_a_pooler_that_lends_its_sessions_says_what_is_in_its_way() {
    is_refused("pool_mode = transaction\nignore_startup_parameters = options").await;
}

/// In this mode each client has a session of its own, which is all that the relay needs.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_behind_a_pooler_that_keeps_sessions_apart_sends() {
    let store = Store::new().await;
    let Some(bouncer) = PgBouncer::start(
        &store,
        "pool_mode = session\nignore_startup_parameters = options",
    )
    .await
    else {
        return;
    };
    let mut relay = outbox_relay::start(bouncer.relay(&store)).await.unwrap();
    let sent = store.publish("key", "text").await;
    store.topic().until_has([sent]).await;
    relay.stop().await.unwrap();
}
