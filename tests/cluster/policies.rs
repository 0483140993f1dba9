use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tovar::client::wait_for;

use crate::release::{Release, SERVICES};

type Targets = BTreeMap<String, String>;

/// Tries every way from every kind of pod to every port of the store: those that are needed are open, and no other.
pub async fn check(release: &Release) -> anyhow::Result<()> {
    let targets = targets(release).await?;
    let image = release.kubectl.get("statefulset/tovar-orders-postgres").await?;
    let image = text(&image["spec"]["template"]["spec"]["containers"][0]["image"])?;

    let mut sources: Vec<(String, String, BTreeSet<String>)> = Vec::new();
    for service in SERVICES {
        let pod = one(release.pods(service, "service").await?)?;
        // Its own address no policy keeps a pod from.
        let needs = [
            "api of users".to_owned(),
            format!("database of {service}"),
            "kafka".to_owned(),
            format!("metrics of {service}"),
            format!("metrics of the relay of {service}"),
        ];
        sources.push((service.to_owned(), pod, needs.into()));
        let pod = one(release.pods(service, "postgres").await?)?;
        sources.push((format!("database of {service}"), pod, BTreeSet::new()));
    }
    let apis = SERVICES.map(|service| format!("api of {service}"));
    sources.push((
        "gateway".to_owned(),
        one(release.pods("gateway", "gateway").await?)?,
        apis.into(),
    ));
    let kafka = one(release.pods("kafka", "kafka").await?)?;
    sources.push(("kafka".to_owned(), kafka, ["kafka".to_owned()].into()));
    stranger(release, image).await?;
    let gateway = ["gateway".to_owned()];
    sources.push(("a stranger".to_owned(), "pod/stranger".to_owned(), gateway.into()));

    let mut tried = 0;
    for (source, pod, expected) in sources {
        let open = open_from(release, &pod, image, &targets)
            .await
            .with_context(|| format!("from {source}"))?;
        ensure!(
            open == expected,
            "{source} reaches {open:?} instead of {expected:?}"
        );
        tried += targets.len();
    }
    eprintln!("         {tried} ways tried, each as it must be");
    release
        .kubectl
        .run(&["delete", "pod/stranger", "--grace-period", "1"])
        .await?;
    Ok(())
}

/// By address, so that a name that cannot be resolved is not taken for a way that is closed.
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

/// Which of the targets a process in the pod can connect to: one in a container that joins it for this.
async fn open_from(
    release: &Release,
    pod: &str,
    image: &str,
    targets: &Targets,
) -> anyhow::Result<BTreeSet<String>> {
    let kubectl = &release.kubectl;
    let mut script = String::new();
    for (name, address) in targets {
        script += &format!("(timeout 3 bash -c '</dev/tcp/{address}' 2>/dev/null && echo 'open: {name}') & ");
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
    wait_for("the ways to be tried", Duration::from_secs(60), async || {
        said = kubectl.run(&["logs", pod, "--container", name]).await?;
        Ok(said.contains("done"))
    })
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
        "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
    });
    let spec = json!({ "spec": {
        "securityContext": { "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": { "type": "RuntimeDefault" } },
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
