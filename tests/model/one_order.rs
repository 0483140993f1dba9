use contracts::{delivery::Handover, orders::StopReason};

use crate::{
    report::check,
    routes::Routes,
    saga::{Repeats, Saga},
    world::{QUANTITIES, Shop, Slot, TOTALS},
};

/// Every stop, every outcome and a deletion, at any moment, in every shop.
fn saga() -> Saga {
    Saga {
        shops: shops(),
        orders: 1,
        stops: &[
            StopReason::Customer,
            StopReason::Deadline,
            StopReason::Operator,
        ],
        disturbances: 2,
        repeats: Repeats::Never,
        discards: 0,
        routes: Routes::of_the_services(),
    }
}

/// Everything that makes a participant refuse, with everything else that may be so.
fn shops() -> Vec<Shop> {
    let (total, quantity) = (TOTALS[0], QUANTITIES[0]);
    let (locker, courier) = (Some(Handover::Locker), Some(Handover::Courier));
    let places = [
        (locker, Slot::Ahead, 1),
        (courier, Slot::Ahead, 1),
        (locker, Slot::Ahead, 0),
        (locker, Slot::Past, 1),
        (locker, Slot::Missing, 1),
        (None, Slot::Ahead, 1),
    ];
    let mut shops = Vec::new();
    for funds in [Some(total), Some(total - 1), None] {
        for stock in [quantity, quantity - 1] {
            shops.extend(places.map(|(handover, slot, capacity)| Shop {
                funds,
                stock,
                handover,
                slot,
                capacity,
            }));
        }
    }
    shops
}

#[test]
fn every_way_of_one_order_is_right() {
    check("one order", &saga());
}

#[test]
fn every_way_of_one_order_is_right_where_messages_come_again_and_the_inbox_drops_them() {
    check(
        "one order, messages again, inbox",
        &Saga {
            repeats: Repeats::Inbox,
            ..saga()
        },
    );
}

#[test]
fn every_way_of_one_order_is_right_where_messages_come_again_and_there_is_no_inbox() {
    check(
        "one order, messages again, no inbox",
        &Saga {
            repeats: Repeats::NoInbox,
            ..saga()
        },
    );
}

#[test]
fn every_way_of_one_order_is_right_where_an_operator_discards_and_replays() {
    check(
        "one order, a discard and its replay",
        &Saga {
            discards: 1,
            ..saga()
        },
    );
}
