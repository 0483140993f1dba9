//! `cargo tovar keys`: shows the keys that sign access tokens, and revokes one that has leaked.

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde::Serialize;
use tokio_postgres::Client;

use super::{OperatorArgs, show};
use crate::{
    database,
    services::SERVICES,
    store_file::{StoreArgs, StoreFile},
};

#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct KeysArgs {
    #[command(subcommand)]
    act: Option<KeysCommand>,

    #[command(flatten)]
    store: StoreArgs,

    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Subcommand)]
enum KeysCommand {
    /// Remove a key that has leaked: all users who are logged in with it must log in again
    Revoke(RevokeArgs),
}

#[derive(Clone, Debug, clap::Args)]
struct RevokeArgs {
    /// The key's name, as `cargo tovar keys` shows it
    kid: String,

    /// Why, for the record
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    why: String,

    #[command(flatten)]
    by: OperatorArgs,
}

/// The present state of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// It is published already, and signs later.
    Next,
    Signs,
    /// It no longer signs, and is published until its last token has expired.
    Shown,
}

/// A key as an operator sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TokenKey {
    pub kid: String,
    pub state: KeyState,
    pub made_at: DateTime<Utc>,
    /// Days since it was made.
    pub days: i64,
    /// Whether its private part is encrypted. A key of an earlier version is not.
    pub encrypted: bool,
}

/// A revocation, as it is recorded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Revoked {
    pub operation: &'static str,
    pub kid: String,
    pub who: String,
    pub why: String,
}

pub async fn run(args: KeysArgs) -> anyhow::Result<()> {
    match args.act {
        None => {
            let keys = list(&open(&args.store.read()?).await?).await?;
            show::print(args.json, &keys, |keys| table(keys))
        }
        Some(KeysCommand::Revoke(args)) => {
            let mut client = open(&args.by.store.read()?).await?;
            let keys = list(&client).await?;
            let key = keys.iter().find(|key| key.kid == args.kid);
            let key = key.with_context(|| {
                format!("there is no token key {}:\n{}", args.kid, table(&keys))
            })?;
            if args.by.confirm(&question(key))? {
                let revoked = revoke(&mut client, &args.kid, &args.by.who()?, &args.why).await?;
                show::print(args.by.json, &revoked, revoked_text)?;
            }
            Ok(())
        }
    }
}

/// Opens a session in the database of the service users.
pub async fn open(store: &StoreFile) -> anyhow::Result<Client> {
    let users = SERVICES.iter().find(|service| service.name == "users");
    database::open_of(&store.databases, users.context("a store without users")?).await
}

/// All keys, the newest first.
pub async fn list(client: &Client) -> anyhow::Result<Vec<TokenKey>> {
    let sql = "SELECT kid, signs, created_at, sealed IS NOT NULL,
                 created_at > coalesce((SELECT max(created_at) FROM token_keys WHERE signs),
                 '-infinity'),
                 floor(greatest(extract(epoch FROM now() - created_at) / 86400, 0))::bigint
               FROM token_keys ORDER BY created_at DESC, kid DESC";
    let rows = client.query(sql, &[]).await?;
    let key = |row: &tokio_postgres::Row| TokenKey {
        kid: row.get(0),
        state: match (row.get(1), row.get(4)) {
            (true, _) => KeyState::Signs,
            (false, true) => KeyState::Next,
            (false, false) => KeyState::Shown,
        },
        made_at: row.get(2),
        days: row.get(5),
        encrypted: row.get(3),
    };
    Ok(rows.iter().map(key).collect())
}

/// Removes a key. The replicas of the service users sign with another one, and no longer publish
/// this one, from when they next read the keys.
pub async fn revoke(
    client: &mut Client,
    kid: &str,
    who: &str,
    why: &str,
) -> anyhow::Result<Revoked> {
    let tx = client.transaction().await?;
    let gone = tx
        .execute("DELETE FROM token_keys WHERE kid = $1", &[&kid])
        .await?;
    ensure!(gone == 1, "there is no token key {kid}, or not any more");
    let details = serde_json::json!({ "kid": kid, "why": why }).to_string();
    let insert = "INSERT INTO token_key_operations (who, operation, details) VALUES ($1, \
                  'revoke', $2::text::jsonb)";
    tx.execute(insert, &[&who, &details]).await?;
    tx.commit().await?;
    Ok(Revoked {
        operation: "revoke",
        kid: kid.to_owned(),
        who: who.to_owned(),
        why: why.to_owned(),
    })
}

fn question(key: &TokenKey) -> String {
    let TokenKey { kid, state, .. } = key;
    let follows = match state {
        KeyState::Next => "no token is signed by it yet",
        KeyState::Signs => {
            "all users who have logged in since it signs must log in again, and another key signs"
        }
        KeyState::Shown => "users who logged in before the present key signed must log in again",
    };
    format!(
        "Revoke token key {kid}, made at {}: {follows}",
        show::time(key.made_at)
    )
}

fn revoked_text(revoked: &Revoked) -> String {
    let Revoked { kid, who, .. } = revoked;
    format!(
        "revoke: token key {kid}, by {who}. users signs by another one within 5 seconds, and the \
         services believe this one for \
         JWKS_REFRESH_SECONDS (60) longer at most, if they reach users.\n"
    )
}

fn table(keys: &[TokenKey]) -> String {
    let row = |key: &TokenKey| {
        let state = match key.state {
            KeyState::Next => "signs next",
            KeyState::Signs => "signs",
            KeyState::Shown => "shown until its tokens have expired",
        };
        vec![
            key.kid.clone(),
            show::time(key.made_at),
            key.days.to_string(),
            state.to_owned(),
            if key.encrypted { "yes" } else { "no" }.to_owned(),
        ]
    };
    let titles = ["key", "made", "days", "state", "encrypted"];
    show::table_text(&titles, &keys.iter().map(row).collect::<Vec<_>>())
}
