use std::collections::BTreeSet;

use db::{Db, DbError, Tx};
use kernel::UserId;

use crate::{domain::email::Email, store::unprepared};

/// Addresses that one transaction prepares at most, so that it holds its locks for a short time.
const BATCH_MAX: i64 = 1000;

/// Prepares the addresses that an earlier release stored as they were written.
pub async fn prepare_emails(db: &Db) -> Result<(), DbError> {
    while db
        .transaction("users.prepare_emails", async |tx| prepare_some(tx).await)
        .await?
        == BATCH_MAX
    {}
    Ok(())
}

/// Prepares a batch, and returns how many addresses it had.
async fn prepare_some(tx: &mut Tx<'_>) -> Result<i64, DbError> {
    let people = unprepared::some(tx, BATCH_MAX).await?;
    if people.is_empty() {
        return Ok(0);
    }
    let count = i64::try_from(people.len()).unwrap_or(BATCH_MAX);
    let wanted: Vec<String> = people.iter().map(|(_, email)| prepared(email)).collect();
    let taken = unprepared::taken(tx, &wanted).await?;
    unprepared::save(tx, &given(people, wanted, taken)).await?;
    Ok(count)
}

fn prepared(email: &str) -> String {
    // An address that would be refused today stays as it is.
    Email::parse(email).map_or_else(|_| email.to_owned(), |email| email.as_str().to_owned())
}

/// Gives each address to the oldest account that has it. An account with another spelling of a
/// given address is found by that spelling only, as before; it gets its id, which is no address.
fn given(
    people: Vec<(UserId, String)>,
    wanted: Vec<String>,
    mut taken: BTreeSet<String>,
) -> Vec<(UserId, String)> {
    let give = |((id, _), wanted): ((UserId, String), String)| {
        if taken.insert(wanted.clone()) {
            return (id, wanted);
        }
        tracing::warn!(user = %id, "another account has this e-mail address in another spelling");
        (id, id.to_string())
    };
    people.into_iter().zip(wanted).map(give).collect()
}
