//! The events that notifications listens to. Each goes to a use case; nothing else happens here.

use contracts::{
    billing::{ToppedUp, Withdrawn},
    orders::Finished,
    users::UserRegistered,
    warehouse::Shipped,
};
use db::{DbError, Tx};
use inbox::{Delivery, Subscriptions};
use service_kit::tokens_void;

use crate::{domain::news::News, state::State, usecases::notify_user::notify_user};

/// The subscriptions of the consumer group `group`.
pub fn subscriptions(group: &'static str) -> Subscriptions<State> {
    Subscriptions::group(group)
        .latency_tolerant()
        .on(registered)
        .on(topped_up)
        .on(withdrawn)
        .on(shipped)
        .on(finished)
        .on(tokens_void::<State>)
}

async fn registered(
    tx: &mut Tx<'_>,
    _: &State,
    delivery: Delivery<UserRegistered>,
) -> Result<(), DbError> {
    let (event, user_id) = ((delivery.id, delivery.time), delivery.event.user_id);
    notify_user(tx, event, user_id, &News::Registered);
    Ok(())
}

async fn topped_up(
    tx: &mut Tx<'_>,
    _: &State,
    delivery: Delivery<ToppedUp>,
) -> Result<(), DbError> {
    let event = (delivery.id, delivery.time);
    let ToppedUp {
        user_id,
        amount,
        currency,
    } = delivery.event;
    notify_user(tx, event, user_id, &News::ToppedUp { amount, currency });
    Ok(())
}

async fn withdrawn(
    tx: &mut Tx<'_>,
    _: &State,
    delivery: Delivery<Withdrawn>,
) -> Result<(), DbError> {
    let event = (delivery.id, delivery.time);
    let Withdrawn {
        user_id,
        amount,
        currency,
    } = delivery.event;
    notify_user(tx, event, user_id, &News::Withdrawn { amount, currency });
    Ok(())
}

async fn shipped(tx: &mut Tx<'_>, _: &State, delivery: Delivery<Shipped>) -> Result<(), DbError> {
    let (event, order) = ((delivery.id, delivery.time), delivery.event.order);
    notify_user(
        tx,
        event,
        order.user_id,
        &News::Shipped {
            order_id: order.order_id,
        },
    );
    Ok(())
}

async fn finished(tx: &mut Tx<'_>, _: &State, delivery: Delivery<Finished>) -> Result<(), DbError> {
    let event = (delivery.id, delivery.time);
    let Finished {
        order_id,
        user_id,
        outcome,
        reason,
    } = delivery.event;
    notify_user(
        tx,
        event,
        user_id,
        &News::Finished {
            order_id,
            outcome,
            reason,
        },
    );
    Ok(())
}
