//! An outbox and its topics, compared by `cargo tovar outbox audit`.

use std::time::Duration;

use futures_util::future::join_all;
use outbox::log::{BUCKETS, empty_bucket, publish_again};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};
use serde_json::json;
use tovar::{
    audit::{self, AuditReport, TopicAudit},
    client::wait_for,
    services::SERVICES,
    verify::Outcome,
};
use uuid::Uuid;

use crate::harness::{Catalogue, MustSucceed, PARTITIONS, Store, WITHIN};

async fn audited(store: &Store) -> AuditReport {
    audit::all(&store.file(), &SERVICES, WITHIN).await.unwrap()
}

fn of<'r>(report: &'r AuditReport, service: &str) -> &'r TopicAudit {
    let found = report.topics.iter().find(|topic| topic.service == service);
    found.unwrap()
}

/// The event of this type that a service published last.
async fn last(store: &Store, service: &str, event_type: &str) -> Uuid {
    let sql = "SELECT id FROM outbox WHERE type = $1 ORDER BY position DESC LIMIT 1";
    let row = store
        .sql(service)
        .await
        .query_one(sql, &[&event_type])
        .await;
    row.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_under_load_is_never_said_to_have_lost_or_invented_anything() {
    let mut store = Store::start().await;
    let catalogue = Catalogue::open(&store, 30, 25).await;
    let customers =
        join_all((0..4).map(async |_| store.guest.new_customer(8_000).await.unwrap())).await;
    // When money, goods or places run out, orders are rejected, which makes events as well.
    let buying = join_all(customers.iter().map(async |customer| {
        loop {
            catalogue.buy(customer, &catalogue.order(1)).await;
        }
    }));
    let file = store.file();
    let looking = async {
        let mut seen = Vec::new();
        for _ in 0..5 {
            let report = audit::all(&file, &SERVICES, Duration::ZERO).await.unwrap();
            assert_ne!(report.outcome, Outcome::Violated, "{}", report.text());
            seen.push(of(&report, "orders").messages);
        }
        assert!(seen[0] < seen[4], "events came meanwhile: {seen:?}");
    };
    tokio::select! {
        _ = buying => {}
        () = looking => {}
    }

    // A duplicate is counted, and is no event of its own.
    store.verified().await;
    let before = audited(&store).await;
    assert_eq!(before.outcome, Outcome::Clean, "{}", before.text());
    let event = last(&store, "orders", "orders.finished.v1").await;
    let mut orders = store.sql("orders").await;
    assert!(publish_again(&mut orders, event, "test").await.unwrap());
    let after = audited(&store).await;
    let (before, after) = (of(&before, "orders"), of(&after, "orders"));
    assert_eq!(after.outcome(), Outcome::Clean);
    assert_eq!(after.events, before.events);
    assert_eq!(after.duplicates, before.duplicates + 1);
    assert_eq!(after.retained, before.retained + 1);

    // The audit waits for events that the relay has not sent yet.
    store.kill_relay("users");
    let person = json!({ "email": "late@example.org", "password": "long enough", "name": "A" });
    store.guest.ok_post("/api/users", &person).await;
    let report = audit::all(&store.file(), &SERVICES, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(
        of(&report, "users").outcome(),
        Outcome::NotSettled,
        "{}",
        report.text()
    );
    store.start_relay("users").await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_invented_changed_or_overtaken_is_named() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    catalogue.buy(&customer, &catalogue.order(1)).await;
    assert_eq!(store.verified().await.outcome, Outcome::Clean);
    let report = audited(&store).await;
    assert_eq!(report.outcome, Outcome::Clean, "{}", report.text());

    // Committed so long ago that every snapshot sees it, as an event that the relay has passed
    // over.
    let lost = Uuid::now_v7();
    let sql = "INSERT INTO outbox (xid, id, topic, key, type, payload)
               VALUES ('3', $1, 'billing', 'a person', 'billing.topped_up.v1', '{}')";
    let billing = store.sql("billing").await;
    billing.execute(sql, &[&lost]).await.unwrap();
    // On the topic, and as if its transaction had been rolled back.
    let invented = last(&store, "users", "users.registered.v1").await;
    let users = store.sql("users").await;
    let gone = users
        .execute("DELETE FROM outbox WHERE id = $1", &[&invented])
        .await;
    assert_eq!(gone.unwrap(), 1);
    // Not what was sent.
    let changed = last(&store, "warehouse", "warehouse.goods_listed.v1").await;
    let warehouse = store.sql("warehouse").await;
    let sql = "UPDATE outbox SET payload = payload || ' ' WHERE id = $1";
    assert_eq!(warehouse.execute(sql, &[&changed]).await.unwrap(), 1);
    // The end of the order before its beginning.
    let overtaken = last(&store, "orders", "orders.finished.v1").await;
    let orders = store.sql("orders").await;
    let sql = "ALTER TABLE outbox ALTER position SET GENERATED BY DEFAULT";
    orders.batch_execute(sql).await.unwrap();
    let sql = "UPDATE outbox SET position = 0 WHERE id = $1";
    assert_eq!(orders.execute(sql, &[&overtaken]).await.unwrap(), 1);

    let report = audited(&store).await;
    assert_eq!(report.outcome, Outcome::Violated);
    let expected = [
        (
            "billing",
            lost,
            "an event that was acknowledged and is not on the topic",
        ),
        (
            "users",
            invented,
            "an event on the topic that the outbox does not have",
        ),
        (
            "warehouse",
            changed,
            "an event whose payload on the topic is not that of the outbox",
        ),
        (
            "orders",
            overtaken,
            "an event that is on the topic only after a later one of its key",
        ),
    ];
    for (service, event, what) in expected {
        let found = &of(&report, service).violations;
        assert_eq!(found.len(), 1, "{service}: {}", report.text());
        assert_eq!(
            (found[0].what.as_str(), &found[0].id),
            (what, &event.to_string())
        );
        assert!(report.text().contains(&event.to_string()));
    }
    assert_eq!(of(&report, "delivery").outcome(), Outcome::Clean);
    store.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_left_the_outbox_or_the_topic_is_said_and_not_judged() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    catalogue.buy(&customer, &catalogue.order(1)).await;
    assert_eq!(store.verified().await.outcome, Outcome::Clean);
    let before = audited(&store).await;

    // The outbox of users, as when its retention is over.
    let users = store.sql("users").await;
    wait_for("the outbox to be emptied", WITHIN, async || {
        for bucket in 0..BUCKETS {
            empty_bucket(&users, bucket, Duration::ZERO).await?;
        }
        let left: i64 = users
            .query_one("SELECT count(*) FROM outbox", &[])
            .await?
            .get(0);
        Ok(left == 0)
    })
    .await
    .unwrap();
    // The topic of billing, as when its own is over.
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", store.brokers())
        .create()
        .unwrap();
    let mut all = TopicPartitionList::new();
    let topic = format!("{}billing", store.prefix);
    for partition in 0..PARTITIONS {
        all.add_partition_offset(&topic, partition, Offset::End)
            .unwrap();
    }
    admin
        .delete_records(&all, &AdminOptions::new())
        .await
        .unwrap();

    let after = audited(&store).await;
    assert_eq!(after.outcome, Outcome::Clean, "{}", after.text());
    let (was, is) = (of(&before, "users"), of(&after, "users"));
    assert_eq!((was.only_on_topic, was.messages > 0), (0, true));
    assert_eq!(
        (is.only_on_topic, is.retained, is.messages),
        (was.events, 0, was.messages)
    );
    let (was, is) = (of(&before, "billing"), of(&after, "billing"));
    assert_eq!((was.only_in_outbox, was.retained > 0), (0, true));
    assert_eq!(
        (is.only_in_outbox, is.retained, is.messages),
        (was.retained, was.retained, 0)
    );

    // Later events are judged again.
    store.guest.new_customer(1_000).await.unwrap();
    store.verified().await;
    let now = audited(&store).await;
    assert_eq!(now.outcome, Outcome::Clean, "{}", now.text());
    assert_eq!(
        of(&now, "users").only_on_topic,
        of(&after, "users").only_on_topic
    );
    assert!(of(&now, "users").retained > 0);
    store.end().await;
}
