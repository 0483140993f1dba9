use std::time::Duration;

use db::Tx;
use kernel::{OrderId, UserId};
use serde::Serialize;
use service_kit::{EventStream, Gone};
use utoipa::ToSchema;

use super::{OrderError, view_order::StepView};
use crate::{
    State,
    domain::{
        facts::{Facts, Kind},
        status::Status,
        timeline,
    },
    store::{facts, orders},
    streams::Follower,
};

const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub struct FollowOrder {
    pub order_id: OrderId,
    pub owner: UserId,
    /// The last step that the client has seen; 0 if none.
    pub after: i32,
}

/// A step as it happened, and what it made of the order.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewsView {
    #[serde(flatten)]
    pub step: StepView,
    pub status: Status,
}

/// After which step one's order is told, or `None` if there is nothing more to tell of it. A client
/// that has seen more than there is has it from elsewhere, and is told everything: it could not
/// know that it must ask without its last id.
pub async fn follow_order(
    tx: &mut Tx<'_>,
    _: &State,
    wish: &FollowOrder,
) -> Result<Option<i32>, OrderError> {
    if !orders::is_of_owner(tx, wish.order_id, wish.owner).await? {
        return Err(OrderError::UnknownOrder);
    }
    let learnt = facts::learnt(tx, wish.order_id).await?;
    let all = i32::try_from(learnt.len()).unwrap_or(i32::MAX);
    let is_over = learnt
        .iter()
        .any(|learnt| learnt.fact.kind() == Kind::Finished);
    let after = if wish.after > all { 0 } else { wish.after };
    Ok((!is_over || after < all).then_some(after))
}

/// Tells each step after `seen`, in the order in which they were learnt, until the order is
/// finished.
pub async fn tell(mut order: Follower, mut seen: i32, stream: EventStream) -> Result<(), Gone> {
    loop {
        let learnt = tokio::select! {
            learnt = order.beyond(seen) => learnt,
            () = stream.gone() => None,
            () = tokio::time::sleep(KEEP_ALIVE) => {
                stream.keep_alive().await?;
                continue;
            }
        };
        let Some(learnt) = learnt else {
            return Ok(());
        };
        let mut known = Facts::default();
        for learnt in learnt.iter() {
            known.add(learnt.fact.clone(), learnt.at);
            if learnt.number <= seen {
                continue;
            }
            let step = timeline::step(&learnt.fact, learnt.at, &known);
            let news = NewsView {
                status: Status::of(&known),
                step: step.into(),
            };
            stream.send(learnt.number, &news.step.event, &news).await?;
            seen = learnt.number;
        }
        if known.has(Kind::Finished) {
            return Ok(());
        }
    }
}
