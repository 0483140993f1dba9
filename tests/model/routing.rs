use std::collections::BTreeSet;

use contracts::{billing, delivery::Handover, users, warehouse};
use kernel::Event as Contract;
use notifications::Notifications;
use service_kit::Service;

use crate::{
    event::Event,
    participants::handle,
    queues::{Consumer, Key},
    routes::{Routes, subscriptions},
    world::{Shop, Slot, World},
};

/// Events that have no part in an order's saga.
const OUTSIDE: [&str; 7] = [
    users::UserRegistered::TYPE,
    users::TokensVoid::TYPE,
    billing::AccountOpened::TYPE,
    billing::AccountClosed::TYPE,
    billing::ToppedUp::TYPE,
    billing::Withdrawn::TYPE,
    warehouse::GoodsListed::TYPE,
];

fn types_of_the_model() -> BTreeSet<&'static str> {
    Event::ALL.map(|event| event.contract().1).into()
}

#[test]
fn the_model_knows_every_event_of_the_catalogue() {
    let mut known = types_of_the_model();
    known.extend(OUTSIDE);
    let all: BTreeSet<_> = contracts::catalogue::all()
        .iter()
        .map(|entry| entry.event_type)
        .collect();
    assert_eq!(known, all);
}

#[test]
fn the_model_handles_exactly_what_the_services_subscribe_to() {
    let routes = Routes::of_the_services();
    for (at, event) in Event::ALL.into_iter().enumerate() {
        assert_eq!(event as usize, at);
        let key = if event == Event::UserDeleted {
            Key::User
        } else {
            Key::Order(0)
        };
        for consumer in Consumer::ALL {
            let shop = Shop {
                funds: Some(1),
                stock: 1,
                handover: Some(Handover::Locker),
                slot: Slot::Ahead,
                capacity: 1,
            };
            let mut world = World::new(shop, 1, 0, &routes);
            let is_handled = handle(&mut world, consumer, key, event).is_some();
            let is_routed = routes.subscribers(event).contains(&consumer);
            assert_eq!(is_handled, is_routed, "{consumer} and {event}");
        }
    }
}

#[test]
fn what_services_subscribe_to_besides_has_no_part_in_the_saga() {
    let model = types_of_the_model();
    let mut besides: BTreeSet<_> = Consumer::ALL.into_iter().flat_map(subscriptions).collect();
    besides.extend(Notifications::subscriptions().event_types());
    let besides: BTreeSet<_> = besides
        .into_iter()
        .filter(|event_type| !model.contains(event_type))
        .collect();
    let outside = BTreeSet::from(OUTSIDE);
    assert!(besides.is_subset(&outside), "{besides:?}");
    // Users is told what becomes of an order, and nothing that anybody in the saga does not hear as
    // well.
    assert!(
        Notifications::subscriptions()
            .event_types()
            .contains(&Event::Finished.contract().1)
    );
}
