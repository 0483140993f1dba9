use contracts::{delivery::Handover, orders::StopReason};

use crate::{
    report::check,
    routes::Routes,
    saga::{Repeats, Saga},
    world::{QUANTITIES, Shop, Slot, TOTALS},
};

/// Two orders of one customer, with enough for both or only for either, of money, stock and places,
/// in every combination.
fn saga() -> Saga {
    let mut shops = Vec::new();
    for funds in [TOTALS[1], TOTALS[0] + TOTALS[1]] {
        for stock in [QUANTITIES[1], QUANTITIES[0] + QUANTITIES[1]] {
            for capacity in [1, 2] {
                shops.extend([Handover::Locker, Handover::Courier].map(|handover| Shop {
                    funds: Some(funds),
                    stock,
                    handover: Some(handover),
                    slot: Slot::Ahead,
                    capacity,
                }));
            }
        }
    }
    Saga {
        shops,
        orders: 2,
        stops: &[StopReason::Customer],
        disturbances: 2,
        repeats: Repeats::Never,
        discards: 0,
        routes: Routes::of_the_services(),
    }
}

#[test]
fn every_way_of_two_orders_that_compete_is_right() {
    check("two orders, a stop or a deletion for each", &saga());
}

#[test]
#[ignore = "takes minutes"]
fn every_way_of_two_orders_that_compete_is_right_with_every_stop_and_a_deletion() {
    check(
        "two orders, every stop and a deletion",
        &Saga {
            stops: &[StopReason::Customer, StopReason::Deadline],
            disturbances: 3,
            ..saga()
        },
    );
}

#[test]
#[ignore = "takes minutes"]
fn every_way_of_two_orders_that_compete_is_right_where_messages_come_again_and_there_is_no_inbox() {
    check(
        "two orders, messages again, no inbox",
        &Saga {
            repeats: Repeats::NoInbox,
            ..saga()
        },
    );
}
