use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use tovar::client::wait_for;

use crate::release::{Release, SERVICES};

type Targets = BTreeMap<String, String>;

/// Tries every connection from every kind of pod to every port of the store: those that are needed
/// are open, and no other.
pub async fn check(release: &Release) -> anyhow::Result<()> {
    let targets = targets(release).await?;
    let image = release
        .kubectl
        .get("statefulset/tovar-orders-postgres")
        .await?;
    let image = text(&image["spec"]["template"]["spec"]["containers"][0]["image"])?;

    let mut sources = Vec::new();
    for service in SERVICES {
        sources.push(Source {
            name: service.to_owned(),
            pod: one(release.pods(service, "service").await?)?,
            needs: names(&["users over TLS", &format!("database of {service}"), "kafka"]),
            own: names(&[
                if service == "users" {
                    "users over TLS"
                } else {
                    ""
                },
                &format!("api of {service}"),
                &format!("metrics of {service}"),
                &format!("metrics of the relay of {service}"),
            ]),
        });
        let database = format!("database of {service}");
        sources.push(Source {
            pod: one(release.pods(service, "postgres").await?)?,
            needs: names(&[]),
            own: names(&[&database]),
            name: database,
        });
    }
    sources.push(Source {
        name: "gateway".to_owned(),
        pod: one(release.pods("gateway", "gateway").await?)?,
        needs: SERVICES
            .iter()
            .map(|service| format!("api of {service}"))
            .chain(["users over TLS".to_owned()])
            .collect(),
        own: names(&["gateway"]),
    });
    sources.push(Source {
        name: "kafka".to_owned(),
        pod: one(release.pods("kafka", "kafka").await?)?,
        needs: names(&[]),
        own: names(&["kafka"]),
    });
    stranger(release, image).await?;
    sources.push(Source {
        name: "a stranger".to_owned(),
        pod: "pod/stranger".to_owned(),
        needs: names(&["gateway"]),
        // The store's policies are for the store's pods.
        own: names(&["api of the cluster"]),
    });

    let ways = targets.len() * sources.len();
    // A few at a time: on a busy node a connection that is allowed could time out.
    let tries = sources.iter().map(async |source| {
        let open = open_from(release, &source.pod, image, &targets).await;
        let open = &open.with_context(|| format!("from {}", source.name))? - &source.own;
        let needs = &source.needs - &source.own;
        ensure!(
            open == needs,
            "{} reaches {open:?} instead of {needs:?}",
            source.name
        );
        Ok(())
    });
    stream::iter(tries)
        .buffer_unordered(3)
        .try_collect::<()>()
        .await?;
    eprintln!("         {ways} ways tried, each as it must be");
    release
        .kubectl
        .run(&["delete", "pod/stranger", "--grace-period", "1"])
        .await?;
    Ok(())
}

/// A pod from which every connection is tried.
struct Source {
    name: String,
    pod: String,
    /// The targets that it must reach. It must reach no other.
    needs: BTreeSet<String>,
    /// Addresses of the pod itself, to which no policy applies.
    own: BTreeSet<String>,
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// By address, so that a name that cannot be resolved does not count as a refused connection.
async fn targets(release: &Release) -> anyhow::Result<Targets> {
    let kubectl = &release.kubectl;
    let address = async |service: &str| {
        let service = kubectl.get(&format!("service/{service}")).await?;
        Ok::<_, anyhow::Error>(text(&service["spec"]["clusterIP"])?.to_owned())
    };
    let mut targets = Targets::new();
    for service in SERVICES {
        let api = address(&format!("tovar-{service}")).await?;
        targets.insert(format!("api of {service}"), format!("{api}/8080"));
        if service == "users" {
            targets.insert("users over TLS".to_owned(), format!("{api}/8443"));
        }
        let database = address(&format!("tovar-{service}-postgres")).await?;
        targets.insert(format!("database of {service}"), format!("{database}/5432"));
        let pod = kubectl
            .get(&one(release.pods(service, "service").await?)?)
            .await?;
        let pod = text(&pod["status"]["podIP"])?;
        targets.insert(format!("metrics of {service}"), format!("{pod}/9090"));
        targets.insert(
            format!("metrics of the relay of {service}"),
            format!("{pod}/9091"),
        );
    }
    targets.insert(
        "kafka".to_owned(),
        format!("{}/9092", address("tovar-kafka").await?),
    );
    targets.insert(
        "gateway".to_owned(),
        format!("{}/80", address("tovar-gateway").await?),
    );
    let api = kubectl
        .run(&[
            "get",
            "service/kubernetes",
            "--namespace",
            "default",
            "--output",
            "jsonpath={.spec.clusterIP}",
        ])
        .await?;
    targets.insert("api of the cluster".to_owned(), format!("{api}/443"));
    Ok(targets)
}

/// Which of the targets a process in the pod can connect to: one in a container that joins it for
/// this.
async fn open_from(
    release: &Release,
    pod: &str,
    image: &str,
    targets: &Targets,
) -> anyhow::Result<BTreeSet<String>> {
    let kubectl = &release.kubectl;
    let mut script = String::new();
    for (name, address) in targets {
        script += &format!(
            "(timeout 10 bash -c '</dev/tcp/{address}' 2>/dev/null && echo 'open: {name}') & "
        );
    }
    script += "wait; echo done";
    let name = "ways";
    kubectl
        .run(&[
            "debug",
            pod,
            "--image",
            image,
            "--container",
            name,
            "--profile",
            "restricted",
            "--quiet",
            "--",
            "bash",
            "-c",
            &script,
        ])
        .await?;
    let mut said = String::new();
    wait_for(
        "the ways to be tried",
        Duration::from_secs(120),
        async || {
            said = kubectl.run(&["logs", pod, "--container", name]).await?;
            Ok(said.contains("done"))
        },
    )
    .await?;
    Ok(said
        .lines()
        .filter_map(|line| line.strip_prefix("open: "))
        .map(str::to_owned)
        .collect())
}

/// A pod in the same namespace that is none of the store's.
async fn stranger(release: &Release, image: &str) -> anyhow::Result<()> {
    let container = json!({
        "name": "stranger", "image": image, "command": ["sleep", "600"],
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": { "drop": ["ALL"] },
        },
    });
    let spec = json!({ "spec": {
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": 65532,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "containers": [container],
    } });
    let spec = spec.to_string();
    let kubectl = &release.kubectl;
    kubectl
        .run(&[
            "run",
            "stranger",
            "--image",
            image,
            "--restart",
            "Never",
            "--overrides",
            &spec,
        ])
        .await?;
    kubectl
        .run(&[
            "wait",
            "--for=condition=Ready",
            "pod/stranger",
            "--timeout",
            "60s",
        ])
        .await?;
    Ok(())
}

fn one(pods: Vec<String>) -> anyhow::Result<String> {
    pods.into_iter().next().context("no pod")
}

fn text(value: &Value) -> anyhow::Result<&str> {
    value.as_str().context("a field that is missing")
}
