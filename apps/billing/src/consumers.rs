//! The events that billing listens to. Each goes to a use case; nothing else happens here.

use contracts::{
    About,
    delivery::Booked,
    orders::{Closed, Placed},
    users::{UserDeleted, UserRegistered},
};
use db::Tx;
use inbox::{Delivery, Message, Subscriptions};
use kernel::UserId;
use service_kit::tokens_void;

use crate::{
    state::State,
    store::{accounts::Account, holds},
    usecases::{BillingError, close_account, follow_order, open_account},
};

/// The subscriptions of the consumer group `group`.
pub fn subscriptions(group: &'static str) -> Subscriptions<State> {
    Subscriptions::group(group)
        .lock::<holds::HoldRow>()
        .then_lock::<Account>(accounts)
        .on(registered)
        .on(deleted)
        .on(placed)
        .on(booked)
        .on(closed)
        .on(tokens_void::<State>)
}

/// The user whose money an event moves, if any: the account to lock.
fn accounts(_: &mut Tx<'_>, message: &Message) -> Vec<UserId> {
    let about = About::read(&message.payload);
    about
        .and_then(|about| about.user_id())
        .into_iter()
        .collect()
}

async fn registered(
    tx: &mut Tx<'_>,
    _: &State,
    user: Delivery<UserRegistered>,
) -> Result<(), BillingError> {
    open_account::open_account(tx, user.event.user_id).await
}

async fn deleted(
    tx: &mut Tx<'_>,
    state: &State,
    user: Delivery<UserDeleted>,
) -> Result<(), BillingError> {
    close_account::close_account(tx, state, user.event.user_id).await
}

async fn placed(
    tx: &mut Tx<'_>,
    state: &State,
    placed: Delivery<Placed>,
) -> Result<(), BillingError> {
    follow_order::on_placed(tx, state, placed.event.order).await
}

async fn booked(
    tx: &mut Tx<'_>,
    state: &State,
    booked: Delivery<Booked>,
) -> Result<(), BillingError> {
    follow_order::on_booked(tx, state, booked.event.order).await
}

async fn closed(
    tx: &mut Tx<'_>,
    state: &State,
    closed: Delivery<Closed>,
) -> Result<(), BillingError> {
    follow_order::on_closed(tx, state, closed.event.order_id, closed.event.user_id).await
}
