//! Every way that events can be sent: a Kafka that looks at sequence numbers, a client with several
//! requests in flight, events that Kafka refuses, and operators. See docs/relay-model.md.

mod client;
mod feeder;
mod kafka;
mod model;
mod parked;
mod properties;
mod relay;
mod world;

use self::{
    properties::{DISCARDED, LOST, OVERTAKEN},
    world::Left,
};
use super::postgres::Key::{self, A, B};
use crate::report::{check, check_finds};

/// The bounds of one check.
#[derive(Clone)]
pub struct Sending {
    /// Each of these stores is checked: the keys of its events, in the order of their commits.
    pub stores: Vec<Vec<Key>>,
    /// Rows that the relay reads at a time.
    pub wanted: usize,
    /// Whether each key has a partition of its own.
    pub apart: bool,
    /// Whether Kafka says how many partitions the topic has.
    pub is_counted: bool,
    /// Whether Kafka refuses one of the events for good, each in its turn.
    pub has_too_large: bool,
    pub left: Left,
    /// The rule that is left out.
    pub without: Option<Rule>,
}

/// Each can be left out, to see what it is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The first event of each partition goes alone, and is acknowledged before a second one is
    /// sent.
    OpenPartitions,
    /// The relay skips a discarded event when it reads it again.
    SkipDiscarded,
    /// An event that is refused again and what follows it are put back in one transaction.
    PutBackAtOnce,
    /// Before each event of a replay it is asked whether it is still to be sent.
    AskBeforeEach,
    /// A producer that was not acknowledged for hours is given up.
    GiveUpAfterHours,
}

impl Sending {
    fn keeps(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }
}

/// Three events in every order of two keys.
fn three() -> Vec<Vec<Key>> {
    vec![vec![A, A, A], vec![A, A, B], vec![A, B, A], vec![B, A, A]]
}

/// The first one is of a topic whose partitions are unknown, the second one opens its partition:
/// only of four events two may be in flight together.
fn four() -> Vec<Vec<Key>> {
    let four = |keys: Vec<Key>| [keys, vec![A]].concat();
    three().into_iter().map(four).collect()
}

const NOTHING: Left = Left {
    refusals: 0,
    losses: 0,
    operations: 0,
    days: 0,
};

const REFUSAL: Left = Left {
    refusals: 1,
    ..NOTHING
};
const OPERATION: Left = Left {
    operations: 1,
    ..NOTHING
};

/// All rules, and nothing goes wrong.
fn sending() -> Sending {
    Sending {
        stores: three(),
        wanted: 2,
        apart: false,
        is_counted: true,
        has_too_large: false,
        left: NOTHING,
        without: None,
    }
}

#[test]
fn nothing_is_lost_or_overtaken_when_kafka_refuses_for_the_moment() {
    let left = Left {
        refusals: 2,
        ..NOTHING
    };
    let bounds = Sending {
        stores: four(),
        left,
        ..sending()
    };
    check("sending: four events, two refusals", &bounds);
}

#[test]
fn nothing_is_lost_or_overtaken_when_a_relay_is_lost_and_kafka_refuses_for_the_moment() {
    let left = Left {
        losses: 1,
        ..REFUSAL
    };
    let bounds = Sending {
        stores: vec![vec![A; 4]],
        left,
        ..sending()
    };
    check(
        "sending: four events of a key, a refusal, a relay is lost",
        &bounds,
    );
    let bounds = Sending {
        apart: true,
        left,
        ..sending()
    };
    check(
        "sending: three events, two partitions, a refusal, a relay is lost",
        &bounds,
    );
}

#[test]
fn nothing_is_lost_or_overtaken_while_the_partitions_are_unknown() {
    let bounds = Sending {
        apart: true,
        is_counted: false,
        left: Left {
            losses: 1,
            ..REFUSAL
        },
        ..sending()
    };
    check(
        "sending: three events, unknown partitions, a refusal, a relay is lost",
        &bounds,
    );
}

#[test]
fn nothing_is_lost_or_overtaken_when_a_day_passes_without_an_acknowledgement() {
    let bounds = Sending {
        stores: four(),
        left: Left { days: 1, ..REFUSAL },
        ..sending()
    };
    check("sending: four events, a refusal, a day passes", &bounds);
}

/// Kafka refuses one of the events, or all.
fn parking() -> Sending {
    Sending {
        wanted: 1,
        has_too_large: true,
        ..sending()
    }
}

#[test]
fn nothing_overtakes_what_is_refused_while_others_are_in_flight() {
    let bounds = Sending {
        stores: four(),
        wanted: 2,
        ..parking()
    };
    check("parking: four events, rows by two", &bounds);
}

#[test]
fn what_is_parked_keeps_its_order_whatever_operators_do() {
    let left = Left {
        operations: 2,
        ..NOTHING
    };
    check(
        "parking: three events, two operations",
        &Sending { left, ..parking() },
    );
}

#[test]
fn what_is_parked_keeps_its_order_when_a_relay_is_lost() {
    let left = Left {
        losses: 1,
        ..OPERATION
    };
    check(
        "parking: three events, an operation, a relay is lost",
        &Sending { left, ..parking() },
    );
}

#[test]
fn what_is_parked_keeps_its_order_when_kafka_refuses_for_the_moment() {
    let left = Left {
        refusals: 1,
        ..OPERATION
    };
    let bounds = Sending {
        wanted: 2,
        left,
        ..parking()
    };
    check(
        "parking: three events, rows by two, an operation, a refusal",
        &bounds,
    );
}

#[test]
#[ignore = "takes minutes"]
fn three_events_are_sent_when_more_goes_wrong() {
    let left = Left {
        losses: 1,
        operations: 2,
        ..NOTHING
    };
    check(
        "parking: three events, two operations, a relay is lost",
        &Sending { left, ..parking() },
    );
    let left = Left {
        refusals: 1,
        losses: 1,
        operations: 1,
        ..NOTHING
    };
    let bounds = Sending {
        apart: true,
        left,
        ..parking()
    };
    check(
        "parking: three events, two partitions, one of each",
        &bounds,
    );
    let left = Left {
        refusals: 2,
        losses: 1,
        ..NOTHING
    };
    let bounds = Sending {
        stores: four(),
        left,
        ..sending()
    };
    check(
        "sending: four events, two refusals, a relay is lost",
        &bounds,
    );
}

/// Two events of a key.
fn pair(left: Left) -> Sending {
    Sending {
        stores: vec![vec![A, A]],
        left,
        ..sending()
    }
}

#[test]
fn without_an_opening_an_event_is_lost() {
    let mut bounds = pair(REFUSAL);
    bounds.without = Some(Rule::OpenPartitions);
    check_finds("sending: partitions are not opened", &bounds, LOST);
}

#[test]
fn without_an_opening_an_event_overtakes_one_that_is_refused() {
    let mut bounds = pair(NOTHING);
    bounds.has_too_large = true;
    bounds.without = Some(Rule::OpenPartitions);
    check_finds("parking: partitions are not opened", &bounds, OVERTAKEN);
}

#[test]
fn a_producer_that_kafka_has_forgotten_loses_an_event() {
    let mut bounds = pair(Left { days: 1, ..REFUSAL });
    bounds.stores = vec![vec![A; 4]];
    bounds.without = Some(Rule::GiveUpAfterHours);
    check_finds("sending: a producer is kept for a day", &bounds, LOST);
}

#[test]
fn what_was_discarded_is_sent_when_it_is_not_skipped() {
    let mut bounds = pair(OPERATION);
    bounds.has_too_large = true;
    bounds.without = Some(Rule::SkipDiscarded);
    check_finds(
        "parking: what was discarded is read again",
        &bounds,
        DISCARDED,
    );
}

#[test]
fn a_replay_that_is_put_back_in_two_steps_loses_its_order() {
    let mut bounds = pair(Left {
        losses: 1,
        ..OPERATION
    });
    bounds.has_too_large = true;
    bounds.without = Some(Rule::PutBackAtOnce);
    check_finds(
        "parking: a replay is put back in two steps",
        &bounds,
        OVERTAKEN,
    );
}

#[test]
fn what_is_discarded_in_the_middle_of_its_replay_is_sent() {
    let mut bounds = pair(Left {
        operations: 2,
        ..NOTHING
    });
    bounds.has_too_large = true;
    bounds.without = Some(Rule::AskBeforeEach);
    check_finds(
        "parking: a replay is not looked at again",
        &bounds,
        DISCARDED,
    );
}
