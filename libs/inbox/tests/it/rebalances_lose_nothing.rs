use crate::fixture::{Act, Fixture, wait_for};

const KEYS: i32 = 12;
const ROUNDS: i32 = 150;

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_come_and_go_keep_the_order_of_every_key() {
    let fixture = Fixture::new(4).await;
    let send_all = async {
        for n in 0..ROUNDS {
            for key in 0..KEYS {
                fixture.send(key % 4, &format!("k{key}"), n).await;
            }
        }
    };
    let come_and_go = async {
        let first = fixture.consume_as("first").await;
        wait_for("the first", async || !fixture.effects().await.is_empty()).await;
        let second = fixture.consume_as("second").await;
        let by_second = "SELECT count(*) FROM effects WHERE who = 'second'";
        wait_for("the second", async || fixture.number(by_second).await > 0).await;
        first.stop().await;
        let third = fixture.consume_as("third").await;
        let by_third = "SELECT count(*) FROM effects WHERE who = 'third'";
        wait_for("the third", async || fixture.number(by_third).await > 0).await;
        [second, third]
    };
    let ((), left) = tokio::join!(send_all, come_and_go);
    let all = i64::from(KEYS * ROUNDS);
    let effects = "SELECT count(*) FROM effects";
    wait_for("all", async || fixture.number(effects).await >= all).await;
    for running in left {
        running.stop().await;
    }
    for key in 0..KEYS {
        assert_eq!(
            fixture.effects_of(&format!("k{key}")).await,
            (0..ROUNDS).collect::<Vec<_>>()
        );
    }
    for partition in 0..4 {
        assert_eq!(fixture.committed(partition).await, all / 4);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_does_not_finish_is_rolled_back_and_done_by_the_next_owner() {
    let fixture = Fixture::new(1).await;
    fixture.make("a", 1, Act::Wait);
    fixture.send(0, "a", 1).await;
    let first = fixture.consume_as("first").await;
    let in_work = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                   AND state = 'idle in transaction' AND query LIKE 'INSERT INTO effects%'";
    wait_for("the handler", async || fixture.number(in_work).await == 1).await;
    first.stop().await;
    fixture.act_normally();
    let second = fixture.consume_as("second").await;
    wait_for("the second", async || fixture.effects_of("a").await == [1]).await;
    second.stop().await;
    assert_eq!(
        fixture
            .number("SELECT count(*) FROM effects WHERE who = 'second'")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_partition_that_comes_back_goes_on() {
    let fixture = Fixture::new(1).await;
    fixture.make("a", 0, Act::Fail(kernel::Class::Unavailable));
    for n in 0..1500 {
        fixture.send(0, "a", n).await;
    }
    // They are enough to pause the partition while its worker waits at the first one.
    let first = fixture.consume_as("first").await;
    wait_for("the first to wait", async || {
        fixture
            .number("SELECT count(*) FROM inbox_blocked WHERE attempts > 5")
            .await
            == 1
    })
    .await;
    // Two members have one partition: if the first one loses it, it gets it back when the second
    // one leaves.
    let second = fixture.consume_as("second").await;
    wait_for("the group to change", async || fixture.members().await == 2).await;
    second.stop().await;
    wait_for("the group to change back", async || {
        fixture.members().await == 1
    })
    .await;
    fixture.act_normally();
    wait_for("all", async || fixture.effects_of("a").await.len() == 1500).await;
    first.stop().await;
    assert_eq!(fixture.effects_of("a").await, (0..1500).collect::<Vec<_>>());
}
