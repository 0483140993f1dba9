use std::{process::Stdio, time::Instant};

use anyhow::{Context, ensure};
use tokio::process::Command;
use tovar::connect::{Connection, Kubectl, Reach};

pub const NAME: &str = "tovar";
pub const SERVICES: [&str; 6] = [
    "users",
    "billing",
    "orders",
    "warehouse",
    "delivery",
    "notifications",
];

/// The store, installed in a namespace of its own.
pub struct Release {
    pub kubectl: Kubectl,
    namespace: String,
    began: Instant,
}

impl Release {
    pub async fn install() -> anyhow::Result<Self> {
        let mark = uuid::Uuid::new_v4().simple().to_string();
        let namespace = format!("tovar-suite-{}", &mark[..8]);
        let release = Self {
            kubectl: Kubectl::new(&namespace),
            namespace: namespace.clone(),
            began: Instant::now(),
        };
        release.step(&format!(
            "install into {namespace}, restricted pod security enforced"
        ));
        release
            .kubectl
            .run(&["create", "namespace", &namespace])
            .await?;
        let restricted = "pod-security.kubernetes.io/enforce=restricted";
        release
            .kubectl
            .run(&["label", "namespace", &namespace, restricted])
            .await?;
        let installed = release.helm(&["install", NAME, &chart()], true).await;
        if let Err(error) = installed {
            release.say_what_is_wrong().await;
            release.remove().await?;
            return Err(error);
        }
        Ok(release)
    }

    /// The present step of the suite, and the time since its start.
    pub fn step(&self, what: &str) {
        eprintln!("[{:>4} s] {what}", self.began.elapsed().as_secs());
    }

    /// A call of helm; those that make a release are given its values, and waited for.
    pub async fn helm(&self, arguments: &[&str], with_values: bool) -> anyhow::Result<()> {
        let mut helm = Command::new("helm");
        helm.args(arguments)
            .args(["--namespace", &self.namespace, "--wait", "--timeout", "10m"])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if with_values {
            // A slow node's backlog shall not be stopped as late: here an order is either lost or
            // delivered.
            helm.args(["--set-string", "orders.env.DEADLINE_BEFORE_SHIPMENT=900"]);
            if let Some(values) = std::env::var_os("TOVAR_CLUSTER_VALUES") {
                helm.arg("--values").arg(values);
            }
        }
        let output = helm
            .output()
            .await
            .context("helm cannot be run; is it installed?")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "helm {}: {said}",
            arguments.join(" ")
        );
        Ok(())
    }

    pub async fn connect(&self) -> anyhow::Result<Connection> {
        self.step("forwards");
        let all = Reach {
            write: true,
            kafka: true,
        };
        Connection::open(self.kubectl.clone(), NAME, all).await
    }

    /// The names of the pods of a part of the store.
    pub async fn pods(&self, name: &str, component: &str) -> anyhow::Result<Vec<String>> {
        let labels = labels(name, component);
        let found = self
            .kubectl
            .run(&["get", "pods", "--selector", &labels, "--output", "name"])
            .await?;
        Ok(found.lines().map(str::to_owned).collect())
    }

    pub async fn rolled_out(&self, object: &str) -> anyhow::Result<()> {
        self.kubectl
            .run(&["rollout", "status", object, "--timeout", "300s"])
            .await?;
        Ok(())
    }

    pub async fn say_what_is_wrong(&self) {
        for what in [
            &["get", "pods", "--output", "wide"][..],
            &["get", "events", "--sort-by", ".lastTimestamp"],
        ] {
            match self.kubectl.run(what).await {
                Ok(said) => eprintln!("{said}"),
                Err(error) => eprintln!("{error:#}"),
            }
        }
    }

    pub async fn remove(&self) -> anyhow::Result<()> {
        if std::env::var_os("TOVAR_CLUSTER_KEEP").is_some() {
            self.step(&format!("kept: namespace {}", self.namespace));
            return Ok(());
        }
        self.kubectl
            .run(&["delete", "namespace", &self.namespace, "--timeout", "600s"])
            .await?;
        Ok(())
    }
}

pub fn chart() -> String {
    format!("{}/../helm/tovar", env!("CARGO_MANIFEST_DIR"))
}

pub fn labels(name: &str, component: &str) -> String {
    format!(
        "app.kubernetes.io/instance={NAME},app.kubernetes.io/name={name},\
         app.kubernetes.io/component={component}"
    )
}
