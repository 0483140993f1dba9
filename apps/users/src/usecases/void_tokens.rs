use contracts::users::TokensVoid;
use db::{DbError, Tx};
use kernel::UserId;
use outbox::PublishError;

use crate::store::people;

/// From now on no access token of this person counts that is out: here at once, and elsewhere as
/// soon as the event is heard.
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
