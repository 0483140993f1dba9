use db::Tx;
use kernel::{OrderId, UserId};

use super::OrderError;
use crate::{
    domain::facts::Kind,
    state::State,
    store::{facts, orders},
};

pub struct FollowOrder {
    pub order_id: OrderId,
    pub owner: UserId,
    /// The number of the last step that the client has seen; 0 if it has seen none.
    pub after: i32,
}

/// The number of the step after which a stream of the caller's order begins; `None` if all steps
/// were seen and no more will come. A client that names a later step than the last one got the
/// number elsewhere. Its stream begins with the first step, as the client cannot know that it must
/// ask without a number.
pub async fn follow_order(
    tx: &mut Tx<'_>,
    _: &State,
    command: &FollowOrder,
) -> Result<Option<i32>, OrderError> {
    if !orders::is_of_owner(tx, command.order_id, command.owner).await? {
        return Err(OrderError::UnknownOrder);
    }
    let facts = facts::numbered(tx, command.order_id).await?;
    let all = i32::try_from(facts.len()).unwrap_or(i32::MAX);
    let is_over = facts.iter().any(|fact| fact.fact.kind() == Kind::Finished);
    let after = if command.after > all {
        0
    } else {
        command.after
    };
    Ok((!is_over || after < all).then_some(after))
}
