use std::time::Duration;

use serde_json::Value;
use tovar::client::{Answer, Client, wait_for};

/// How long a test waits for what the store does by events, on a machine that does other things
/// too.
pub const WITHIN: Duration = Duration::from_secs(60);

/// Requests that must succeed: they give the answer's body, and end the test otherwise.
pub trait MustSucceed {
    async fn ok_get(&self, path: &str) -> Value;
    async fn ok_put(&self, path: &str, body: &Value) -> Value;
    async fn ok_post(&self, path: &str, body: &Value) -> Value;
}

impl MustSucceed for Client {
    async fn ok_get(&self, path: &str) -> Value {
        body(path, self.get(path).await)
    }

    async fn ok_put(&self, path: &str, with: &Value) -> Value {
        body(path, self.put(path, with).await)
    }

    async fn ok_post(&self, path: &str, with: &Value) -> Value {
        body(path, self.post(path, with).await)
    }
}

fn body(path: &str, answer: reqwest::Result<Answer>) -> Value {
    let answer = answer.unwrap_or_else(|error| panic!("{path}: {error}"));
    answer
        .success()
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Waits until the order has one of these statuses, and gives the order.
pub async fn wait_for_status(customer: &Client, order: &str, statuses: &[&str]) -> Value {
    let mut last = Value::Null;
    let what = format!("the order to be one of {statuses:?}");
    let waited = wait_for(&what, WITHIN, async || {
        let answer = customer.get(&format!("/api/orders/{order}")).await?;
        last = answer.success()?;
        Ok(statuses.contains(&last["status"].as_str().unwrap_or_default()))
    });
    waited.await.unwrap();
    last
}
