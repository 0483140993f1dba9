use anyhow::ensure;

use crate::release::{Release, SERVICES};

/// Ends a pod of each kind as a crash would, each after the one before it is back.
pub async fn each(release: &Release) -> anyhow::Result<()> {
    for service in SERVICES {
        kill(
            release,
            service,
            "service",
            &format!("deployment/tovar-{service}"),
        )
        .await?;
    }
    kill(release, "gateway", "gateway", "deployment/tovar-gateway").await?;
    for service in SERVICES {
        let database = format!("statefulset/tovar-{service}-postgres");
        kill(release, service, "postgres", &database).await?;
    }
    kill(release, "kafka", "kafka", "statefulset/tovar-kafka").await
}

async fn kill(release: &Release, name: &str, component: &str, object: &str) -> anyhow::Result<()> {
    let pods = release.pods(name, component).await?;
    ensure!(!pods.is_empty(), "{object} has no pod");
    release.step(&format!("  {}", pods[0]));
    // One second is too short for any of them to end in good order. The name of a StatefulSet's pod
    // must be free again.
    release
        .kubectl
        .run(&["delete", &pods[0], "--grace-period", "1", "--wait"])
        .await?;
    release.rolled_out(object).await
}
