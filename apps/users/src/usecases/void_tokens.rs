use contracts::users::TokensVoid;
use db::{DbError, Tx};
use kernel::UserId;
use outbox::PublishError;

use crate::store::people;

/// Makes all access tokens of a person void: here at once, and in the other services when they
/// handle the event.
pub async fn void_tokens<E>(tx: &mut Tx<'_>, user_id: UserId) -> Result<(), E>
where
    E: From<DbError> + From<PublishError>,
{
    let generation = people::next_generation(tx, user_id).await?;
    outbox::publish(
        tx,
        &TokensVoid {
            user_id,
            generation,
        },
    )?;
    Ok(())
}
