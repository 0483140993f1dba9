use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;
use tovar::{
    client::{Client, wait_for},
    database,
    store_file::StoreFile,
};
use uuid::Uuid;

use crate::release::{Release, labels};

const PEOPLE: usize = 20;

/// Kafka is away while people register, so that their events wait in the outbox. Then users is told
/// to end, while Kafka comes back. When its pod is gone, with no other in its place, nothing waits:
/// the relay in it has sent all.
pub async fn check(release: &Release, store: &StoreFile) -> anyhow::Result<()> {
    let kubectl = &release.kubectl;
    let (kafka, users) = ("statefulset/tovar-kafka", "deployment/tovar-users");
    let kafkas = labels("kafka", "kafka");
    kubectl.run(&["scale", kafka, "--replicas", "0"]).await?;
    kubectl
        .run(&[
            "wait",
            "--for=delete",
            "pod",
            "--selector",
            &kafkas,
            "--timeout",
            "120s",
        ])
        .await?;

    let guest = Client::new(&store.base_url);
    let mut people = Vec::new();
    for _ in 0..PEOPLE {
        let body = json!({
            "email": format!("{}@example.org", Uuid::new_v4()),
            "password": Uuid::new_v4(),
            "name": "A customer",
        });
        let person = guest.post("/api/users", &body).await?.success()?;
        people.push(
            person["id"]
                .as_str()
                .context("a person without an id")?
                .to_owned(),
        );
    }
    let reader = database::open(&store.readers["users"]).await?;
    let before = outbox::log::status(&reader).await?;
    ensure!(
        usize::try_from(before.waiting)? >= PEOPLE,
        "only {} rows wait; nothing could be drained",
        before.waiting
    );

    kubectl.run(&["scale", kafka, "--replicas", "1"]).await?;
    kubectl.run(&["scale", users, "--replicas", "0"]).await?;
    let pods = labels("users", "service");
    kubectl
        .run(&[
            "wait",
            "--for=delete",
            "pod",
            "--selector",
            &pods,
            "--timeout",
            "180s",
        ])
        .await?;
    let after = outbox::log::status(&reader).await?;
    eprintln!(
        "         {} rows waited before the stop, {} after it",
        before.waiting, after.waiting
    );
    ensure!(
        after.waiting == 0,
        "{} rows were left behind",
        after.waiting
    );

    release.rolled_out(kafka).await?;
    kubectl.run(&["scale", users, "--replicas", "1"]).await?;
    release.rolled_out(users).await?;
    // And they arrived.
    let who = store.manager()?;
    let mut manager = None;
    wait_for("users to be back", Duration::from_secs(60), async || {
        manager = Some(guest.log_in(&who.email, &who.password).await?);
        Ok(true)
    })
    .await?;
    let manager = manager.context("nobody is logged in")?;
    for person in people {
        wait_for("an account to open", Duration::from_secs(60), async || {
            let account = manager.get(&format!("/api/accounts/{person}")).await?;
            Ok(account.status.is_success())
        })
        .await?;
    }
    Ok(())
}
