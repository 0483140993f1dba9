//! `cargo tovar outbox`, `cargo tovar inbox` and `cargo tovar keys`: the commands of an operator.
//! Each operation is recorded in the service's database with the operator's name, in
//! `outbox_operations`, `inbox_operations` or `token_key_operations`.

pub mod inbox;
pub mod keys;
pub mod outbox;
pub(crate) mod show;

use std::io::{IsTerminal, Write};

use anyhow::{Context, bail};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    services::{SERVICES, ServiceInfo},
    store_file::{StoreArgs, StoreFile},
};

/// The text for an empty list of parked events.
const NOTHING: &str = "nothing is parked\n";

/// The arguments of a command that reads one service or all.
#[derive(Clone, Debug, clap::Args)]
pub struct QueryArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,

    /// Only this service
    #[arg(long, value_parser = service)]
    service: Option<ServiceInfo>,

    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// The arguments of an operation on an event: which event, and who the operator is.
#[derive(Clone, Debug, clap::Args)]
pub struct OperationArgs {
    /// The event's id, or the gap's
    event: Uuid,

    /// In the database of this service
    #[arg(long, value_parser = service)]
    service: ServiceInfo,

    #[command(flatten)]
    by: OperatorArgs,
}

/// The operator of an operation, and whether the command asks before.
#[derive(Clone, Debug, clap::Args)]
pub struct OperatorArgs {
    #[command(flatten)]
    store: StoreArgs,

    /// Name of the operator, for the record; by default the user of this machine
    #[arg(
        long = "as",
        value_name = "WHO",
        value_parser = clap::builder::NonEmptyStringValueParser::new()
    )]
    who: Option<String>,

    /// Do not ask; needed where there is no terminal
    #[arg(long)]
    yes: bool,

    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

/// An operation as it is recorded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct OperationRecord {
    pub service: &'static str,
    pub operation: &'static str,
    pub topic: String,
    pub key: String,
    /// How many events it changed.
    pub events: u64,
    pub who: String,
}

/// Something that was read from a service's database.
#[derive(Serialize)]
struct WithService<T> {
    service: &'static str,
    #[serde(flatten)]
    found: T,
}

impl QueryArgs {
    pub(crate) fn services(&self) -> Vec<ServiceInfo> {
        self.service
            .map_or_else(|| SERVICES.to_vec(), |one| vec![one])
    }
}

impl OperationArgs {
    fn url(&self) -> anyhow::Result<String> {
        let store: StoreFile = self.by.store.read()?;
        let url = store.databases.get(self.service.name);
        url.cloned().with_context(|| {
            format!(
                "the store file has no address that may change the database of {}; `cargo tovar \
                 connect --write` has it",
                self.service.name
            )
        })
    }

    fn who(&self) -> anyhow::Result<String> {
        self.by.who()
    }

    fn confirm(&self, question: &str) -> anyhow::Result<bool> {
        self.by.confirm(question)
    }

    fn report(&self, record: &OperationRecord, what_follows: &str) -> anyhow::Result<()> {
        self.print(record, |record| {
            let OperationRecord {
                operation,
                topic,
                events,
                who,
                ..
            } = record;
            let key = show::short(&record.key);
            format!(
                "{operation}: {events} events of key {key} of topic {topic}, by {who}. \
                 {what_follows}\n"
            )
        })
    }

    /// Prints an operation as text, or as JSON if the arguments ask for it.
    fn print<T: Serialize>(
        &self,
        record: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        show::print(self.by.json, record, text)
    }
}

impl OperatorArgs {
    fn who(&self) -> anyhow::Result<String> {
        if let Some(who) = &self.who {
            return Ok(who.clone());
        }
        let user = nix::unistd::User::from_uid(nix::unistd::getuid())
            .ok()
            .flatten();
        user.map(|user| user.name)
            .context("this machine does not know who you are; say it with --as")
    }

    /// Asks `question`; returns whether the operation may begin.
    fn confirm(&self, question: &str) -> anyhow::Result<bool> {
        let terminal = std::io::stdin().is_terminal().then_some(ask);
        let goes_on = is_confirmed(self.yes, question, terminal)?;
        if !goes_on {
            eprintln!("nothing was done");
        }
        Ok(goes_on)
    }
}

/// Whether `--yes` is set or the operator answers yes. Without a terminal to ask at it is an error.
fn is_confirmed(
    yes: bool,
    question: &str,
    ask: Option<impl FnOnce(&str) -> std::io::Result<String>>,
) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    let Some(ask) = ask else {
        bail!("{question}? There is no terminal to ask at: add --yes");
    };
    let answer = ask(question)?.trim().to_lowercase();
    Ok(["y", "yes"].contains(&answer.as_str()))
}

fn ask(question: &str) -> std::io::Result<String> {
    eprint!("{question}? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer)
}

/// A service by its name.
fn service(name: &str) -> Result<ServiceInfo, String> {
    let found = SERVICES.into_iter().find(|service| service.name == name);
    found.ok_or_else(|| format!("one of {}", SERVICES.map(|service| service.name).join(", ")))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::is_confirmed;

    type Ask = fn(&str) -> io::Result<String>;

    #[test]
    fn only_a_yes_goes_on_and_without_a_terminal_only_the_option() {
        let answer = |text: &'static str| {
            is_confirmed(false, "Do it", Some(move |_: &str| Ok(text.to_owned()))).unwrap()
        };
        assert!(answer("y\n") && answer(" YES\n"));
        assert!(!answer("\n") && !answer("no\n") && !answer(""));
        let refused = is_confirmed(false, "Do it", None::<Ask>).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "Do it? There is no terminal to ask at: add --yes"
        );
        assert!(is_confirmed(true, "Do it", None::<Ask>).unwrap());
    }
}
