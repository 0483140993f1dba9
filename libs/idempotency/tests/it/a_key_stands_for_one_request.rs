use kernel::{Class, Classify};

use crate::fixture::{Fixture, RequestError, Told, request};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_gets_the_first_answer_to_the_letter() {
    let fixture = Fixture::new().await;
    let Told::First(first) = fixture.send(&request("ann", "k1", "tea")).await.unwrap() else {
        panic!("a new key is no retry");
    };
    for _ in 0..3 {
        let again = fixture
            .send(&request("ann", "\"k1\"", "tea"))
            .await
            .unwrap();
        assert_eq!(again, Told::Again(first.clone()));
    }
    assert_eq!(fixture.effects().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_for_another_request_is_refused() {
    let fixture = Fixture::new().await;
    let first = fixture.send(&request("ann", "k1", "tea")).await.unwrap();
    let refused = fixture
        .send(&request("ann", "k1", "coffee"))
        .await
        .unwrap_err();
    assert_eq!(refused.key_code(), Some("idempotency_key_reused"));
    let RequestError::Idempotency(refused) = refused else {
        panic!("{refused}");
    };
    assert_eq!(
        (refused.class(), refused.retry_after()),
        (Class::Invalid, None)
    );
    assert_eq!(fixture.effects().await, 1);
    // The refusal left the first request's answer as it was.
    let Told::First(answer) = first else {
        panic!("no retry")
    };
    let again = fixture.send(&request("ann", "k1", "tea")).await.unwrap();
    assert_eq!(again, Told::Again(answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_two_callers_never_meet() {
    let fixture = Fixture::new().await;
    // The last two would be the same if caller and key were joined without a separator.
    for (caller, key) in [
        ("ann", "k1"),
        ("bob", "k1"),
        ("ann", "k2"),
        ("ann b", "c"),
        ("ann", "b.c"),
    ] {
        for what in ["tea", "coffee"] {
            let told = fixture.send(&request(caller, key, what)).await;
            if what == "tea" {
                assert!(matches!(told.unwrap(), Told::First(_)), "{caller} {key}");
            } else {
                assert_eq!(told.unwrap_err().key_code(), Some("idempotency_key_reused"));
            }
        }
    }
    assert_eq!(fixture.effects().await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_differ_in_case_and_may_be_long() {
    let fixture = Fixture::new().await;
    let long = "x".repeat(254);
    for key in [
        "k1",
        "K1",
        &format!("{long}1"),
        &format!("{long}2"),
        "%",
        "a\\b",
    ] {
        let told = fixture.send(&request("ann", key, "tea")).await.unwrap();
        assert!(matches!(told, Told::First(_)), "{key}");
    }
    assert_eq!(fixture.effects().await, 6);
}
