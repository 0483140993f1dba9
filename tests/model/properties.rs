//! What must hold: always, and at rest.

use billing::domain::{hold::Hold, ledger::Account};
use contracts::orders::Outcome;
use delivery::domain::booking::Booking;
use orders::domain::{
    facts::{Fact, Kind},
    status::Status,
};
use stateright::Property;
use warehouse::domain::parcel::Parcel;

use crate::{
    event::Event,
    saga::{Repeats, Saga},
    world::{Fault, Order, Owner, QUANTITIES, World},
};

pub fn all(saga: &Saga) -> Vec<Property<Saga>> {
    let mut all = vec![
        Property::always("no handler fails", |_, world: &World| {
            world.fault.is_none_or(|fault| fault == Fault::LateStop)
        }),
        Property::always(
            "a stop is accepted only before the goods are known to have left",
            |_, world: &World| world.fault != Some(Fault::LateStop),
        ),
        Property::always(
            "money is where the holds say, and sums to zero",
            |_, world| money(world),
        ),
        Property::always("stock is where the parcels say", |_, world| stock(world)),
        Property::always(
            "places are where the bookings say, within the capacity",
            |_, world| places(world),
        ),
        Property::always(
            "shipped implies captured, delivered implies shipped",
            |_, world: &World| world.orders.iter().all(shipped),
        ),
        Property::always(
            "each event of an order is sent once",
            |saga: &Saga, world: &World| world.orders.iter().all(|order| sends_once(saga, order)),
        ),
        Property::always(
            "the end is told after the money is where it belongs, and stays",
            |_, world: &World| world.orders.iter().all(end),
        ),
        Property::always(
            "at rest every order is final and all of it undone, or waits for its courier",
            |_, world: &World| !world.is_at_rest() || world.orders.iter().all(rests),
        ),
        Property::always(
            "at rest a deleted customer's account is closed",
            |_, world: &World| {
                !(world.is_at_rest() && world.is_user_deleted && world.account == Owner::Open)
            },
        ),
    ];
    if saga.discards == 0 {
        // After a discard the stop itself may come after the verdict, when no order waits for its
        // answer any more.
        all.push(Property::always(
            "at rest a stop is answered",
            |_, world: &World| !world.is_at_rest() || world.orders.iter().all(is_answered),
        ));
    }
    all.extend(if saga.orders == 1 {
        ways()
    } else {
        ways_of_two()
    });
    all
}

/// Every checked case must also occur.
fn ways() -> Vec<Property<Saga>> {
    vec![
        Property::sometimes("an order is delivered", |_, world| {
            ends(world, Status::Delivered)
        }),
        Property::sometimes("an order is rejected", |_, world| {
            ends(world, Status::Rejected)
        }),
        Property::sometimes("an order is cancelled", |_, world| {
            ends(world, Status::Cancelled)
        }),
        Property::sometimes("an order is refunded", |_, world| {
            ends(world, Status::Refunded)
        }),
        Property::sometimes("an order waits for its courier", |_, world| {
            ends(world, Status::Shipped)
        }),
        Property::sometimes("a stop comes too late", |_, world: &World| {
            let is_late = |order: &Order| order.sent.has(Event::ReleaseRefused);
            world.is_at_rest() && world.orders.iter().any(is_late)
        }),
        Property::sometimes(
            "money goes back to a customer who is gone",
            |_, world: &World| {
                let is_refunded = |order: &Order| order.hold == Some(Hold::Refunded);
                world.is_at_rest()
                    && world.account == Owner::Closed
                    && world.orders.iter().any(is_refunded)
            },
        ),
    ]
}

fn ways_of_two() -> Vec<Property<Saga>> {
    vec![
        Property::sometimes("one order gets what the other lacks", |_, world| {
            ends(world, Status::Delivered) && ends(world, Status::Rejected)
        }),
        Property::sometimes(
            "one order gets what the other gave back",
            |_, world: &World| {
                let is_held_by_one = world.shop.stock < QUANTITIES.iter().sum();
                is_held_by_one
                    && ends(world, Status::Delivered)
                    && world.orders.iter().any(|order| {
                        order.known.status() == Status::Cancelled && order.known.has(Kind::Reserved)
                    })
            },
        ),
    ]
}

fn ends(world: &World, status: Status) -> bool {
    world.is_at_rest()
        && world
            .orders
            .iter()
            .any(|order| order.known.status() == status)
}

fn money(world: &World) -> bool {
    let (mut held, mut captured) = (0, 0);
    for order in &world.orders {
        match order.hold {
            Some(Hold::Held(amount)) => held += amount.minor(),
            Some(Hold::Captured(amount)) => captured += amount.minor(),
            _ => {}
        }
    }
    let ledger = world.ledger;
    let available = ledger.of(Account::UserAvailable);
    let belongs = match world.account {
        Owner::Missing | Owner::Closed => available == 0,
        Owner::Open => ledger.of(Account::Outside) == -world.shop.funds.unwrap_or_default(),
    };
    ledger.sum() == 0
        && available >= 0
        && ledger.of(Account::UserHeld) == held
        && ledger.of(Account::ShopRevenue) == captured
        && belongs
}

fn stock(world: &World) -> bool {
    let pieces = |parcel: Parcel| -> i64 {
        let orders = world.orders.iter().zip(QUANTITIES);
        let of_parcel = orders.filter(|(order, _)| order.parcel == Some(parcel));
        of_parcel.map(|(_, quantity)| quantity).sum()
    };
    world.shelf.reserved == pieces(Parcel::Reserved)
        && world.shelf.on_hand == world.shop.stock - pieces(Parcel::Shipped)
        && 0 <= world.shelf.reserved
        && world.shelf.reserved <= world.shelf.on_hand
}

fn places(world: &World) -> bool {
    let taken = world.orders.iter().filter(|order| has_place(order)).count();
    i64::try_from(taken) == Ok(world.booked) && world.booked <= world.shop.capacity
}

fn has_place(order: &Order) -> bool {
    matches!(
        order.booking,
        Some(Booking::Booked(_) | Booking::OutForDelivery | Booking::Delivered | Booking::Failed)
    )
}

fn shipped(order: &Order) -> bool {
    let is_paid = matches!(order.hold, Some(Hold::Captured(_)));
    let has_left = order.parcel == Some(Parcel::Shipped);
    let is_out = matches!(
        order.booking,
        Some(Booking::OutForDelivery | Booking::Delivered)
    );
    (!has_left || is_paid) && (!is_out || has_left)
}

/// Without an inbox, a stop that comes twice after the shipment is refused twice; orders knows the
/// second refusal already.
fn sends_once(saga: &Saga, order: &Order) -> bool {
    let may_repeat = |event| saga.repeats == Repeats::NoInbox && event == Event::ReleaseRefused;
    Event::ALL
        .into_iter()
        .all(|event| !order.sent.repeats(event) || may_repeat(event))
}

/// A notification of the customer is true, and stays true.
fn end(order: &Order) -> bool {
    let Some(Fact::Finished { outcome, .. }) = order.known.get(Kind::Finished) else {
        return true;
    };
    let status = match outcome {
        Outcome::Delivered => Status::Delivered,
        Outcome::Rejected => Status::Rejected,
        Outcome::Cancelled => Status::Cancelled,
        Outcome::Refunded => Status::Refunded,
    };
    order.known.status() == status && is_money_home(order, *outcome)
}

fn is_money_home(order: &Order, outcome: Outcome) -> bool {
    match outcome {
        Outcome::Delivered => matches!(order.hold, Some(Hold::Captured(_))),
        Outcome::Refunded => order.hold == Some(Hold::Refunded),
        Outcome::Rejected | Outcome::Cancelled => {
            matches!(
                order.hold,
                Some(Hold::Released | Hold::Refunded | Hold::Settled)
            )
        }
    }
}

/// The order is final, with everything where that end leaves it, and the customer is notified; or
/// it waits for its courier.
fn rests(order: &Order) -> bool {
    let Order {
        hold,
        parcel,
        booking,
        ..
    } = *order;
    let is_told = order.sent.has(Event::Finished);
    match order.known.status() {
        Status::Delivered => {
            let is_delivered =
                (parcel, booking) == (Some(Parcel::Shipped), Some(Booking::Delivered));
            is_told && is_delivered && is_money_home(order, Outcome::Delivered)
        }
        Status::Refunded => {
            let is_back = (parcel, booking) == (Some(Parcel::Returned), Some(Booking::Freed));
            is_told && is_back && is_money_home(order, Outcome::Refunded)
        }
        Status::Rejected | Status::Cancelled => {
            let has_goods = matches!(
                parcel,
                Some(Parcel::Reserved | Parcel::Shipped | Parcel::Returned)
            );
            is_told && !has_goods && !has_place(order) && is_money_home(order, Outcome::Cancelled)
        }
        Status::Shipped => {
            let is_out =
                (parcel, booking) == (Some(Parcel::Shipped), Some(Booking::OutForDelivery));
            !is_told && is_out && matches!(hold, Some(Hold::Captured(_)))
        }
        _ => false,
    }
}

fn is_answered(order: &Order) -> bool {
    let answers = [Event::Released, Event::ReleaseRefused].map(|answer| order.sent.has(answer));
    match (order.sent.has(Event::StopRequested), answers) {
        (true, [released, refused]) => released != refused,
        (false, answers) => answers == [false, false],
    }
}
