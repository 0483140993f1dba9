use crate::fixture::{Act, Fixture, wait_for};

/// A client that knows no broker any more stands still without an error. A test cannot cause that,
/// but it can have the client replaced.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_goes_on_with_a_new_client() {
    let fixture = Fixture::new(2).await;
    let running = fixture.consume().await;
    fixture.send(0, "a", 1).await;
    wait_for("the first", async || fixture.effects_of("a").await == [1]).await;
    // Its handler is at work when the client is replaced.
    fixture.make("b", 1, Act::Wait);
    fixture.send(1, "b", 1).await;
    running.renew();
    fixture.open_gate();
    for n in 2..20 {
        fixture.send(0, "a", n).await;
    }
    wait_for("all", async || fixture.effects_of("a").await.len() == 19).await;
    wait_for("the one in work", async || {
        fixture.effects_of("b").await == [1]
    })
    .await;
    running.stop().await;
    assert_eq!(fixture.effects_of("a").await, (1..20).collect::<Vec<_>>());
    assert_eq!(fixture.committed(0).await, 19);
}
