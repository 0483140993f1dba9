use crate::{kafka::by_key, store::Store};

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_told_to_stop_sends_what_was_committed_right_before() {
    let store = Store::new().await;
    for _ in 0..5 {
        let mut relay = store.relay().await;
        for event in 0..50 {
            store.publish(&format!("key {}", event % 3), "").await;
        }
        relay.stop().await.unwrap();
        assert_eq!(store.unacknowledged().await, 0, "something was left behind");
    }
    let mut topic = store.topic();
    let committed = store.committed().await;
    topic.until_has(committed.iter().map(|(_, id)| *id)).await;
    assert_eq!(topic.first_occurrences(), by_key(committed));
    assert_eq!(topic.received.len(), 250, "nothing is sent twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_larger_than_a_page_is_sent_in_order() {
    let store = Store::new().await;
    let sql = "SELECT count(outbox_publish(gen_random_uuid(), 'notes', 'key ' || n % 100, 'notes.noted.v1', '{}', NULL, 3, 2))
               FROM generate_series(1, 5000) n";
    store.number(sql).await;
    let mut settings = store.settings();
    settings.page = 70;
    let mut relay = outbox_relay::start(settings).await.unwrap();
    relay.stop().await.unwrap();
    let mut topic = store.topic();
    let committed = store.committed().await;
    topic.until_has(committed.iter().map(|(_, id)| *id)).await;
    assert_eq!(topic.first_occurrences(), by_key(committed));
    assert_eq!(topic.received.len(), 5000, "nothing is sent twice");
}
