//! The events that orders listens to. Each becomes a fact of its order; nothing else happens here.

use contracts::{
    billing::{Captured, Held, HoldRefused, Settled},
    delivery::{Booked, BookingRefused, Delivered, Failed},
    warehouse::{
        GoodsListed, ReleaseRefused, Released, ReserveRefused, Reserved, Returned, Shipped,
    },
};
use db::Tx;
use inbox::{Delivery, Subscriptions};
use service_kit::tokens_void;

use crate::{
    domain::facts::Fact,
    state::State,
    store::open,
    usecases::{OrderError, copy_goods::copy_goods, learn_fact::learn_fact},
};

/// The subscriptions of the consumer group `group`.
pub fn subscriptions(group: &'static str) -> Subscriptions<State> {
    Subscriptions::group(group)
        .lock::<open::Order>()
        .on(goods_listed)
        .on(held)
        .on(hold_refused)
        .on(reserved)
        .on(reserve_refused)
        .on(booked)
        .on(booking_refused)
        .on(captured)
        .on(shipped)
        .on(released)
        .on(release_refused)
        .on(delivered)
        .on(failed)
        .on(returned)
        .on(settled)
        .on(tokens_void::<State>)
}

type Done = Result<(), OrderError>;

async fn goods_listed(tx: &mut Tx<'_>, _: &State, goods: Delivery<GoodsListed>) -> Done {
    copy_goods(tx, goods).await
}

async fn held(tx: &mut Tx<'_>, state: &State, held: Delivery<Held>) -> Done {
    learn_fact(tx, state, held.event.order.order_id, Fact::Held).await
}

async fn hold_refused(tx: &mut Tx<'_>, state: &State, refused: Delivery<HoldRefused>) -> Done {
    let HoldRefused {
        order_id, reason, ..
    } = refused.event;
    learn_fact(tx, state, order_id, Fact::HoldRefused { reason }).await
}

async fn reserved(tx: &mut Tx<'_>, state: &State, reserved: Delivery<Reserved>) -> Done {
    learn_fact(tx, state, reserved.event.order.order_id, Fact::Reserved).await
}

async fn reserve_refused(
    tx: &mut Tx<'_>,
    state: &State,
    refused: Delivery<ReserveRefused>,
) -> Done {
    let ReserveRefused { order_id, sku, .. } = refused.event;
    learn_fact(tx, state, order_id, Fact::ReserveRefused { sku }).await
}

async fn booked(tx: &mut Tx<'_>, state: &State, booked: Delivery<Booked>) -> Done {
    let Booked {
        order,
        ends_at,
        handover,
        ..
    } = booked.event;
    learn_fact(
        tx,
        state,
        order.order_id,
        Fact::Booked { ends_at, handover },
    )
    .await
}

async fn booking_refused(
    tx: &mut Tx<'_>,
    state: &State,
    refused: Delivery<BookingRefused>,
) -> Done {
    let BookingRefused {
        order_id, reason, ..
    } = refused.event;
    learn_fact(tx, state, order_id, Fact::BookingRefused { reason }).await
}

async fn captured(tx: &mut Tx<'_>, state: &State, captured: Delivery<Captured>) -> Done {
    learn_fact(tx, state, captured.event.order.order_id, Fact::Captured).await
}

async fn shipped(tx: &mut Tx<'_>, state: &State, shipped: Delivery<Shipped>) -> Done {
    learn_fact(tx, state, shipped.event.order.order_id, Fact::Shipped).await
}

async fn released(tx: &mut Tx<'_>, state: &State, released: Delivery<Released>) -> Done {
    learn_fact(tx, state, released.event.order_id, Fact::Released).await
}

async fn release_refused(
    tx: &mut Tx<'_>,
    state: &State,
    refused: Delivery<ReleaseRefused>,
) -> Done {
    learn_fact(tx, state, refused.event.order_id, Fact::ReleaseRefused).await
}

async fn delivered(tx: &mut Tx<'_>, state: &State, delivered: Delivery<Delivered>) -> Done {
    learn_fact(tx, state, delivered.event.order_id, Fact::Delivered).await
}

async fn failed(tx: &mut Tx<'_>, state: &State, failed: Delivery<Failed>) -> Done {
    learn_fact(tx, state, failed.event.order_id, Fact::Failed).await
}

async fn returned(tx: &mut Tx<'_>, state: &State, returned: Delivery<Returned>) -> Done {
    learn_fact(tx, state, returned.event.order_id, Fact::Returned).await
}

async fn settled(tx: &mut Tx<'_>, state: &State, settled: Delivery<Settled>) -> Done {
    learn_fact(tx, state, settled.event.order_id, Fact::Settled).await
}
