use std::{collections::BTreeMap, fmt, process::Stdio};

use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use tokio::process::Command;

/// The namespace for calls of `kubectl`. The cluster is that of the current context, as always.
#[derive(Clone, Debug)]
pub struct Kubectl {
    namespace: String,
}

impl fmt::Display for Kubectl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the namespace {} of the cluster of kubectl's context",
            self.namespace
        )
    }
}

impl Kubectl {
    pub fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
        }
    }

    /// A call of `kubectl` in the namespace, which ends with this process.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command
            .args(["--namespace", &self.namespace])
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a call; returns its output. An error contains what it printed on standard error.
    pub async fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self
            .command(arguments)
            .output()
            .await
            .context("kubectl cannot be run; is it installed?")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("kubectl {}: {}", arguments.join(" "), said.trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs a request to the API server with a timeout, as a person waits for it.
    async fn ask(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.run(&[arguments, &["--request-timeout", "15s"]].concat())
            .await
    }

    /// An object, such as `deployment/tovar-users`.
    pub async fn get(&self, object: &str) -> anyhow::Result<Value> {
        let json = self.ask(&["get", object, "--output", "json"]).await?;
        Ok(serde_json::from_str(&json)?)
    }

    pub async fn exists(&self, object: &str) -> anyhow::Result<bool> {
        let found = self
            .ask(&["get", object, "--ignore-not-found", "--output", "name"])
            .await?;
        Ok(!found.trim().is_empty())
    }

    /// The values of a secret, decoded.
    pub async fn secret(&self, name: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let secret = self.get(&format!("secret/{name}")).await?;
        let data = secret["data"].as_object().context("an empty secret")?;
        data.iter()
            .map(|(key, value)| {
                let value = STANDARD.decode(value.as_str().unwrap_or_default())?;
                Ok((key.clone(), String::from_utf8(value)?))
            })
            .collect()
    }

    /// A variable of a container in an object's pods; `None` if it is not set to a literal value.
    pub async fn variable(
        &self,
        object: &str,
        container: &str,
        name: &str,
    ) -> anyhow::Result<Option<String>> {
        let object = self.get(object).await?;
        let named = |list: &Value, name: &str| {
            let mut items = list.as_array().into_iter().flatten();
            items.find(|item| item["name"] == name).cloned()
        };
        let containers = &object["spec"]["template"]["spec"]["containers"];
        let variable =
            named(containers, container).and_then(|container| named(&container["env"], name));
        Ok(variable.and_then(|variable| variable["value"].as_str().map(str::to_owned)))
    }
}
