use std::time::Duration;

use reqwest::StatusCode;

use crate::harness::Store;

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_too_much_waits_and_holds_up_nobody_else() {
    let store = Store::start_with(&[("notifications", &["--rate-limit=2", "--rate-burst=5"])]).await;
    let (ada, bob) = (
        store.guest.new_customer(0).await.unwrap(),
        store.guest.new_customer(0).await.unwrap(),
    );
    let ask = async |who: &tovar::client::Client| who.get("/api/notifications").await.unwrap();
    for _ in 0..5 {
        assert_eq!(ask(&ada).await.status, StatusCode::OK);
    }
    let mut limited = ask(&ada).await;
    while limited.status == StatusCode::OK {
        limited = ask(&ada).await;
    }
    assert_eq!(
        (limited.status, limited.code()),
        (StatusCode::TOO_MANY_REQUESTS, Some("too_many_requests"))
    );
    let wait: u64 = limited.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert_eq!(ask(&bob).await.status, StatusCode::OK);
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(ask(&ada).await.status, StatusCode::OK);
    store.stop().await;
}
