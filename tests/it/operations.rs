use clap::Parser;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier},
    client::DefaultClientContext,
};
use reqwest::StatusCode;
use serde_json::json;
use tovar::{
    audit::{self, TopicAudit},
    client::{Client, wait_for},
    operations::{self, inbox::InboxCommand, outbox::OutboxCommand},
    verify::{self, Outcome},
};
use uuid::Uuid;

use crate::harness::{Catalogue, MustSucceed, Store, WITHIN, service, session};

/// The operators' acts in a service's database, in order. The security log has the same, with the
/// database's owner as the role, which has the name of the database.
async fn recorded(store: &Store, service: &str, table: &str) -> Vec<(String, String)> {
    let sql = format!("SELECT who, operation FROM {table} ORDER BY id");
    let database = store.sql(service).await;
    let rows = database.query(&sql, &[]).await.unwrap();
    let log = format!(
        "SELECT count(*) FROM security_log AS log JOIN {table} AS done ON log.at = done.at AND \
         log.who = done.who
         WHERE kind = 'operator' AND outcome = 'done' AND what LIKE '% ' || operation AND \
         log.database_role = current_database()"
    );
    let logged: i64 = database.query_one(&log, &[]).await.unwrap().get(0);
    assert_eq!(usize::try_from(logged).unwrap(), rows.len(), "{table}");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn said(store: &Store, service: &str, sql: &str) -> Option<String> {
    let row = store.sql(service).await.query_opt(sql, &[]).await.unwrap();
    row.map(|row| row.get(0))
}

async fn until_said(store: &Store, service: &str, sql: &str, wanted: &str) {
    wait_for(&format!("{wanted} from {sql}"), WITHIN, async || {
        Ok(said(store, service, sql).await.as_deref() == Some(wanted))
    })
    .await
    .unwrap();
}

async fn register(store: &Store) -> (Client, Uuid) {
    let email = format!("{}@example.org", Uuid::new_v4());
    let body = json!({ "email": email, "password": "long enough", "name": "A" });
    let user = store.guest.ok_post("/api/users", &body).await;
    let customer = store.guest.log_in(&email, "long enough").await.unwrap();
    (customer, user["id"].as_str().unwrap().parse().unwrap())
}

async fn names_a_violation(store: &Store, what: &str, id: Uuid) {
    let report = verify::check(&store.sources()).await.unwrap();
    let named = report
        .violations()
        .any(|found| found.what == what && found.id == id.to_string());
    assert!(named, "{what}: {id}\n{}", report.text());
}

/// What a row of messages on a topic may have, in bytes.
async fn limit_messages(store: &Store, topic: &str, bytes: &str) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", store.brokers())
        .create()
        .unwrap();
    let topic = format!("{}{topic}", store.prefix);
    let limit = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("max.message.bytes", bytes);
    let done = admin
        .alter_configs([&limit], &AdminOptions::new())
        .await
        .unwrap();
    done[0].as_ref().unwrap();
}

/// The outbox of users beside its topic.
async fn audited(store: &Store) -> TopicAudit {
    let report = audit::all(&store.file(), &[service("users")], WITHIN)
        .await
        .unwrap();
    report.topics.into_iter().next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kafka_refused_is_given_up_and_replayed() {
    let store = Store::start().await;
    limit_messages(&store, "users", "100").await;
    let (customer, user) = register(&store).await;
    let parked = format!("SELECT state FROM outbox_parked WHERE key = '{user}'");
    until_said(&store, "users", &parked, "parked").await;
    let event = said(
        &store,
        "users",
        &format!("SELECT id::text FROM outbox_parked WHERE key = '{user}'"),
    )
    .await;
    let event: Uuid = event.unwrap().parse().unwrap();
    names_a_violation(
        &store,
        "an event that is parked in the outbox of users",
        event,
    )
    .await;
    let found = audited(&store).await;
    assert_eq!(
        found.outcome(),
        Outcome::NotSettled,
        "it was not acknowledged"
    );
    let waits = found
        .not_settled
        .iter()
        .find(|found| found.id == event.to_string());
    assert_eq!(waits.unwrap().what, "an event that is parked");

    let users = service("users");
    // An operator acts as the owner, and the security log says so.
    let mut client = session(&store.databases["users"].owner).await;
    let done = operations::outbox::discard(&mut client, users, event, "ada")
        .await
        .unwrap();
    assert_eq!(
        (done.topic.as_str(), done.key.clone(), done.events),
        ("users", user.to_string(), 1)
    );
    until_said(&store, "users", &parked, "discarded").await;
    assert_eq!(
        store.verified().await.outcome,
        Outcome::Clean,
        "an operator decided it"
    );
    let found = audited(&store).await;
    assert_eq!((found.outcome(), found.discarded), (Outcome::Clean, 1));

    limit_messages(&store, "users", "1000000").await;
    let unknown = operations::outbox::replay(&mut client, users, Uuid::now_v7(), "ada").await;
    assert!(unknown.unwrap_err().to_string().contains("is not parked"));
    operations::outbox::replay(&mut client, users, event, "ada")
        .await
        .unwrap();
    until_said(&store, "users", &parked, "sent").await;
    wait_for("the account to open", WITHIN, async || {
        Ok(customer.get("/api/account").await?.status == StatusCode::OK)
    })
    .await
    .unwrap();
    let done = ["discard", "replay"].map(|operation| ("ada".to_owned(), operation.to_owned()));
    assert_eq!(recorded(&store, "users", "outbox_operations").await, done);
    store.stop().await;
}

/// A defect of a handler.
const FAIL: &str =
    "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'a defect'; END $$;
    CREATE TRIGGER fail BEFORE INSERT ON notifications FOR EACH ROW EXECUTE FUNCTION fail()";

#[tokio::test(flavor = "multi_thread")]
async fn what_blocks_a_partition_is_put_aside_and_replayed() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    store.verified().await;
    let notifications = store.sql("notifications").await;
    notifications.batch_execute(FAIL).await.unwrap();
    let (_, user) = register(&store).await;
    let blocked = format!("SELECT event_id::text FROM inbox_blocked WHERE key = '{user}'");
    wait_for("the partition to wait", WITHIN, async || {
        Ok(said(&store, "notifications", &blocked).await.is_some())
    })
    .await
    .unwrap();
    let event: Uuid = said(&store, "notifications", &blocked)
        .await
        .unwrap()
        .parse()
        .unwrap();
    let report = verify::check(&store.sources()).await.unwrap();
    assert_eq!(report.outcome, Outcome::NotSettled, "{}", report.text());
    let waits = "an event that notifications tries again";
    assert!(
        report
            .not_settled()
            .any(|found| found.what == waits && found.id == event.to_string())
    );

    let db = operations::inbox::open(&store.databases["notifications"].owner)
        .await
        .unwrap();
    let of = service("notifications");
    let unknown = operations::inbox::park(&db, of, Uuid::now_v7(), "eve").await;
    assert!(unknown.unwrap_err().to_string().contains("waits for event"));
    operations::inbox::park(&db, of, event, "eve")
        .await
        .unwrap();
    let parked = format!("SELECT state FROM inbox_parked WHERE event_id = '{event}'");
    until_said(&store, "notifications", &parked, "parked").await;
    names_a_violation(
        &store,
        "an event that is parked in the inbox of notifications",
        event,
    )
    .await;
    operations::inbox::discard(&db, of, event, "eve")
        .await
        .unwrap();
    until_said(&store, "notifications", &parked, "discarded").await;

    notifications
        .batch_execute("DROP TRIGGER fail ON notifications")
        .await
        .unwrap();
    let done = operations::inbox::replay(&db, of, event, "eve")
        .await
        .unwrap();
    assert_eq!((done.key, done.events), (user.to_string(), 1));
    until_said(&store, "notifications", &parked, "applied").await;
    let told = format!("SELECT kind FROM notifications WHERE user_id = '{user}'");
    until_said(&store, "notifications", &told, "registered").await;
    let done =
        ["park", "discard", "replay"].map(|operation| ("eve".to_owned(), operation.to_owned()));
    assert_eq!(
        recorded(&store, "notifications", "inbox_operations").await,
        done
    );
    // The partition goes on.
    let customer = store.guest.new_customer(1_000).await.unwrap();
    assert_eq!(
        catalogue.buy(&customer, &catalogue.order(1)).await["status"],
        "delivered"
    );
    store.stop().await;
}

#[derive(Parser)]
enum Cli {
    #[command(subcommand)]
    Outbox(OutboxCommand),
    #[command(subcommand)]
    Inbox(InboxCommand),
}

/// Runs a command as it is typed.
async fn tovar(store: &Store, folder: &tempfile::TempDir, command: &str) -> anyhow::Result<()> {
    let file = store.file().write(folder.path())?;
    let file = file.to_str().unwrap();
    let words = ["tovar"]
        .into_iter()
        .chain(command.split(' '))
        .chain(["--store", file]);
    match Cli::try_parse_from(words)? {
        Cli::Outbox(command) => operations::outbox::run(command).await.map(drop),
        Cli::Inbox(command) => operations::inbox::run(command).await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_is_done_and_recorded() {
    let store = Store::start().await;
    let folder = tempfile::tempdir().unwrap();
    let customer = store.guest.new_customer(0).await.unwrap();
    store.verified().await;
    let event = said(
        &store,
        "users",
        "SELECT id::text FROM outbox ORDER BY position DESC LIMIT 1",
    )
    .await
    .unwrap();

    for command in [
        "outbox status",
        "outbox parked --json",
        "outbox audit --json --wait 30",
        "outbox audit --service billing",
        "inbox status --service billing --json",
        "inbox parked",
        "inbox status",
    ] {
        tovar(&store, &folder, command).await.unwrap();
    }
    tovar(
        &store,
        &folder,
        &format!("outbox republish {event} --service users --as ada --yes"),
    )
    .await
    .unwrap();
    tovar(
        &store,
        &folder,
        &format!("outbox republish {event} --service users --yes --json"),
    )
    .await
    .unwrap();
    let copies = format!("SELECT count(*)::text FROM outbox WHERE id = '{event}'");
    until_said(&store, "users", &copies, "3").await;
    let recorded = recorded(&store, "users", "outbox_operations").await;
    let me = os_user();
    assert_eq!(
        recorded,
        [
            ("ada".to_owned(), "republish".to_owned()),
            (me, "republish".to_owned())
        ]
    );

    let elsewhere = tovar(
        &store,
        &folder,
        &format!("outbox republish {event} --service billing --yes"),
    )
    .await;
    assert!(
        elsewhere
            .unwrap_err()
            .to_string()
            .contains("does not have event")
    );
    for wrong in [
        "outbox replay --yes --service users",
        "inbox park not-an-id --service users --yes",
        "outbox status --service cats",
    ] {
        tovar(&store, &folder, wrong).await.unwrap_err();
    }
    assert_eq!(
        customer.get("/api/account").await.unwrap().status,
        StatusCode::OK
    );
    store.stop().await;
}

/// A gap is reported until an operator acknowledges it, and a message that cannot be read cannot be
/// parked.
#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_acknowledged_and_what_cannot_be_read_is_not_put_aside() {
    let store = Store::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (gap, place) = (Uuid::new_v4(), Uuid::new_v4());
    let billing = store.sql("billing").await;
    billing
        .batch_execute(&format!(
            "INSERT INTO inbox_gaps (id, consumer, topic, partition, first, next) VALUES ('{gap}', \
             'billing', 'orders', 3, 12, 15);
             INSERT INTO inbox_blocked (consumer, topic, partition, event_id, type, key, error)
             VALUES ('billing', 'elsewhere', 0, '{place}', 'unreadable_place', '', 'failed CRC32C \
             check')"
        ))
        .await
        .unwrap();
    for command in ["inbox status", "inbox status --json --service billing"] {
        tovar(&store, &folder, command).await.unwrap();
    }
    let told = "SELECT count(*)::text FROM inbox_gaps WHERE acknowledged_at IS NULL";
    until_said(&store, "billing", told, "1").await;
    let refused = tovar(
        &store,
        &folder,
        &format!("inbox park {place} --service billing --yes"),
    )
    .await;
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("A partition cannot be read")
    );
    let acknowledge = format!("inbox acknowledge-gap {gap} --service billing --as ada --yes");
    tovar(&store, &folder, &acknowledge).await.unwrap();
    until_said(&store, "billing", told, "0").await;
    let again = tovar(&store, &folder, &acknowledge).await.unwrap_err();
    assert!(again.to_string().contains("there is no gap"), "{again}");
    assert_eq!(
        recorded(&store, "billing", "inbox_operations").await,
        [("ada".to_owned(), "acknowledge".to_owned())]
    );
    // No consumer is at this place to find that it can be read again, and `verify` waits for it.
    billing
        .execute("DELETE FROM inbox_blocked WHERE event_id = $1", &[&place])
        .await
        .unwrap();
    store.stop().await;
}

/// The user of this machine, as `id` names it.
fn os_user() -> String {
    let said = std::process::Command::new("id")
        .arg("-un")
        .output()
        .unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}
