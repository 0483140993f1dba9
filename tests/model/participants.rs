//! What each service does with an event: it translates it into an input of its domain, asks the
//! domain's own `decide`, and carries out the decision. This is what the use cases do in a
//! transaction.

use billing::domain::{
    closing,
    hold::{self, Announcement as Billing},
};
use contracts::{
    billing::HoldRefusal,
    delivery::{BookingRefusal, Handover},
};
use delivery::domain::{
    booking::{self, Announcement as Delivery, PlaceMove},
    slot,
};
use kernel::Money;
use warehouse::domain::{
    parcel::{self, Announcement as Warehouse},
    shelf,
};

use crate::{
    event::Event,
    known::{self, noon},
    queues::{Consumer, Key},
    world::{Fault, Owner, QUANTITIES, SKU, Slot, TOTALS, World, ZONE},
};

/// A service handles an event, and gives the events that it publishes. `None`: it has no handler
/// for this event.
pub fn handle(world: &mut World, consumer: Consumer, key: Key, event: Event) -> Option<Vec<Event>> {
    if let (Consumer::Billing, Event::UserDeleted) = (consumer, event) {
        close_account(world);
        return Some(Vec::new());
    }
    let Key::Order(order) = key else { return None };
    let order = usize::from(order);
    let said = match consumer {
        Consumer::Billing => billing(world, order, billing_input(world, order, event)?),
        Consumer::Warehouse => warehouse(world, order, warehouse_input(world, order, event)?),
        Consumer::Delivery => delivery(world, order, delivery_input(world, event)?),
        Consumer::Orders => {
            let handover = world.shop.handover.unwrap_or(Handover::Locker);
            known::fact(event, handover)?;
            let (known, told) = world.orders[order].known.hear(event, handover);
            world.orders[order].known = known;
            return Some(told.to_vec());
        }
    };
    Some(said.into_iter().collect())
}

fn close_account(world: &mut World) {
    let open = (world.account == Owner::Open).then(|| world.ledger.balances());
    if let Some(closing) = closing::close(open) {
        world.account = Owner::Closed;
        if let Some(payout) = closing.movement
            && world.ledger.post(&payout).is_err()
        {
            world.fault = Some(Fault::Ledger);
        }
    }
}

fn billing_input(world: &World, order: usize, event: Event) -> Option<hold::Input> {
    match event {
        Event::Placed => Some(hold::Input::Placed {
            total: Money::from_minor(TOTALS[order]),
            payer: world.payer(),
        }),
        Event::Booked => Some(hold::Input::Booked),
        Event::Closed => Some(hold::Input::Closed {
            account_is_closed: world.account == Owner::Closed,
        }),
        _ => None,
    }
}

fn billing(world: &mut World, order: usize, input: hold::Input) -> Option<Event> {
    let before = world.orders[order].hold;
    let hold::Decision {
        hold,
        movement,
        say,
    } = hold::decide(before, input);
    world.orders[order].hold = hold.or(before);
    if movement.is_some_and(|movement| world.ledger.post(&movement).is_err()) {
        world.fault = Some(Fault::Ledger);
    }
    say.map(|say| match say {
        Billing::Held => Event::Held,
        Billing::HoldRefused(HoldRefusal::InsufficientFunds) => Event::InsufficientFunds,
        Billing::HoldRefused(HoldRefusal::NoAccount) => Event::NoAccount,
        Billing::HoldRefused(HoldRefusal::AccountClosed) => Event::AccountClosed,
        Billing::Captured => Event::Captured,
        Billing::Settled { .. } => Event::Settled,
    })
}

fn warehouse_input(world: &World, order: usize, event: Event) -> Option<parcel::Input> {
    match event {
        Event::Held => {
            let sku = SKU.parse().unwrap();
            let missing = shelf::missing([(sku, QUANTITIES[order], Some(world.shelf))]);
            Some(parcel::Input::Held { missing })
        }
        Event::StopRequested => Some(parcel::Input::StopRequested),
        Event::Captured => Some(parcel::Input::Captured),
        Event::Failed => Some(parcel::Input::DeliveryFailed),
        Event::Closed => Some(parcel::Input::Closed),
        _ => None,
    }
}

fn warehouse(world: &mut World, order: usize, input: parcel::Input) -> Option<Event> {
    let before = world.orders[order].parcel;
    let parcel::Decision { parcel, stock, say } = parcel::decide(before, input);
    world.orders[order].parcel = parcel.or(before);
    match stock.map(|stock| world.shelf.apply(stock, QUANTITIES[order])) {
        Some(Ok(after)) => world.shelf = after,
        Some(Err(_)) => world.fault = Some(Fault::Shelf),
        None => {}
    }
    say.map(|say| match say {
        Warehouse::Reserved => Event::Reserved,
        Warehouse::ReserveRefused(_) => Event::OutOfStock,
        Warehouse::Released => Event::Released,
        Warehouse::ReleaseRefused => Event::ReleaseRefused,
        Warehouse::Shipped => Event::Shipped,
        Warehouse::Returned => Event::Returned,
    })
}

fn delivery_input(world: &World, event: Event) -> Option<booking::Input> {
    match event {
        Event::Reserved => {
            let zone = ZONE.parse().unwrap();
            let slot = slot(world);
            let offered = slot::offer(&zone, world.shop.handover, slot.as_ref(), noon());
            Some(booking::Input::Reserved(offered))
        }
        Event::Shipped => Some(booking::Input::Shipped),
        Event::Closed => Some(booking::Input::Closed),
        _ => None,
    }
}

fn delivery(world: &mut World, order: usize, input: booking::Input) -> Option<Event> {
    let before = world.orders[order].booking;
    let decision = booking::decide(before, input);
    carry_out(world, order, &decision)
}

/// A courier reports an outcome. `None`: delivery does not accept it; otherwise the events that
/// delivery publishes.
pub fn report(world: &mut World, order: usize, outcome: booking::CourierOutcome) -> Option<Event> {
    let decision = booking::report(world.orders[order].booking, outcome).ok()?;
    carry_out(world, order, &decision)
}

fn carry_out(world: &mut World, order: usize, decision: &booking::Decision) -> Option<Event> {
    let booking::Decision {
        booking,
        place,
        say,
    } = *decision;
    let before = world.orders[order].booking;
    world.orders[order].booking = booking.or(before);
    if let Some(place) = place {
        let places = match place {
            PlaceMove::Take => 1,
            PlaceMove::GiveBack => -1,
        };
        match slot(world).map(|slot| slot.after(places)) {
            Some(Ok(booked)) => world.booked = booked,
            Some(Err(_)) | None => world.fault = Some(Fault::Slot),
        }
    }
    say.map(|say| match say {
        Delivery::Booked(_) => Event::Booked,
        Delivery::BookingRefused(BookingRefusal::ZoneNotServed) => Event::ZoneNotServed,
        Delivery::BookingRefused(BookingRefusal::UnknownSlot) => Event::UnknownSlot,
        Delivery::BookingRefused(BookingRefusal::SlotFull) => Event::SlotFull,
        Delivery::BookingRefused(BookingRefusal::SlotPast) => Event::SlotPast,
        Delivery::Delivered => Event::Delivered,
        Delivery::Failed => Event::Failed,
    })
}

/// The orders' slot as delivery has it.
fn slot(world: &World) -> Option<slot::Slot> {
    let hour = chrono::TimeDelta::hours(1);
    let ends_at = match world.shop.slot {
        Slot::Missing => return None,
        Slot::Past => noon() - hour,
        Slot::Ahead => noon() + hour,
    };
    Some(slot::Slot {
        zone: ZONE.parse().unwrap(),
        starts_at: ends_at - hour,
        ends_at,
        capacity: world.shop.capacity,
        booked: world.booked,
    })
}
