use std::collections::BTreeSet;

use db::{Db, DbError, Tx};
use kernel::UserId;

use crate::{domain::email::Email, store::unprepared};

const BATCH: i64 = 1000;

/// Prepares the addresses that were added by a version that did not.
pub async fn prepare_emails(db: &Db) -> Result<(), DbError> {
    while db
        .transaction("users.prepare_emails", async |tx| prepare_some(tx).await)
        .await?
        == BATCH
    {}
    Ok(())
}

/// How many they were.
async fn prepare_some(tx: &mut Tx<'_>) -> Result<i64, DbError> {
    let people = unprepared::some(tx, BATCH).await?;
    if people.is_empty() {
        return Ok(0);
    }
    let count = i64::try_from(people.len()).unwrap_or(BATCH);
    let wanted: Vec<String> = people.iter().map(|(_, email)| prepared(email)).collect();
    let taken = unprepared::taken(tx, &wanted).await?;
    unprepared::save(tx, &given(people, wanted, taken)).await?;
    Ok(count)
}

fn prepared(email: &str) -> String {
    // What would be refused today was let in once; it stands for itself.
    Email::parse(email).map_or_else(|_| email.to_owned(), |email| email.as_str().to_owned())
}

/// The first has the address. Who has another spelling of it is found by that alone, as before;
/// their id is no address.
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
