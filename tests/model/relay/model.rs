use stateright::{Model, Property};

use super::{
    postgres::{Event, Key, Postgres, State},
    properties,
    relay::Relay,
    world::World,
};

/// The bounds of one check.
#[derive(Clone)]
pub struct Outbox {
    /// Each of these stores is checked: the keys of its transactions' events.
    pub stores: Vec<Vec<&'static [Key]>>,
    /// Rows that the relay reads at a time.
    pub wanted: usize,
    /// How often the leader may be killed or frozen.
    pub losses: u8,
    /// How often PostgreSQL may crash.
    pub crashes: u8,
    /// How often all present rows may become older than the retention.
    pub turns: u8,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Action {
    /// A transaction's next event; with the first one it begins.
    Publish(usize),
    Commit(usize),
    Abort(usize),
    /// A relay gets the lock and starts from the saved cursor.
    Lead,
    /// The active relay is killed, or frozen until PostgreSQL gives its lock to others.
    Lose,
    /// The active relay asks the log once.
    Poll,
    /// Kafka writes what the active relay sent.
    Write(Event),
    /// Kafka writes what an earlier relay sent.
    WriteAdrift(usize, Event),
    Acknowledge(Event),
    Save {
        is_flushed: bool,
    },
    Turn,
    Empty(u8),
    Crash {
        next_xid: u8,
    },
}

impl Model for Outbox {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let world = |transactions: &Vec<&'static [Key]>| World {
            postgres: Postgres::new(transactions),
            relay: None,
            adrift: Vec::new(),
            topic: [const { Vec::new() }; 2],
            losses: self.losses,
            crashes: self.crashes,
            has_stepped_back: false,
        };
        self.stores.iter().map(world).collect()
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let postgres = &world.postgres;
        for (index, transaction) in postgres.transactions.iter().enumerate() {
            let is_whole = transaction.rows.len() == transaction.keys.len();
            match transaction.state {
                // Of those that are alike the first goes first.
                State::NotBegun => {
                    let before = postgres.transactions[..index].last();
                    if before.is_none_or(|other| other.keys != transaction.keys || other.xid > 0) {
                        actions.push(Action::Publish(index));
                    }
                }
                State::Open if is_whole => {
                    actions.extend([Action::Commit(index), Action::Abort(index)]);
                }
                State::Open => actions.push(Action::Publish(index)),
                State::Committed | State::Aborted => {}
            }
        }
        if let Some(relay) = &world.relay {
            actions.push(Action::Poll);
            for key in Key::ALL {
                actions.extend(relay.next_to_write(key).map(Action::Write));
                actions.extend(relay.next_to_acknowledge(key).map(Action::Acknowledge));
            }
            if relay.progress.unsaved().is_some() {
                // Only a crash can tell.
                actions.extend((world.crashes > 0).then_some(Action::Save { is_flushed: false }));
                actions.push(Action::Save { is_flushed: true });
            }
            actions.extend((world.losses > 0).then_some(Action::Lose));
        } else {
            actions.push(Action::Lead);
        }
        let adrift = world.next_adrift();
        actions.extend(adrift.map(|(at, event)| Action::WriteAdrift(at, event)));
        actions.extend((postgres.bucket < self.turns).then_some(Action::Turn));
        actions.extend((0..postgres.bucket).map(Action::Empty));
        if world.crashes > 0 {
            let next = postgres.next_after_a_crash();
            actions.extend(next.map(|next_xid| Action::Crash { next_xid }));
        }
    }

    /// The world after an action, if that changes anything.
    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Publish(index) => world.postgres.publish(index)?,
            Action::Commit(index) => world.postgres.commit(index),
            Action::Abort(index) => world.postgres.abort(index),
            Action::Lead => world.relay = Some(Relay::lead(&world.postgres.saved)),
            Action::Lose => {
                world.losses -= 1;
                world.lose_the_relay();
            }
            Action::Poll => {
                world.relay.as_mut()?.poll(&world.postgres, self.wanted);
                if world == *before {
                    return None;
                }
            }
            Action::Write(event) => {
                world.relay.as_mut()?.written(event);
                world.write(event);
            }
            Action::WriteAdrift(at, event) => {
                world.adrift[at].retain(|other| *other != event);
                world.write(event);
            }
            Action::Acknowledge(event) => world.relay.as_mut()?.acknowledged(event.key),
            Action::Save { is_flushed } => world.save(is_flushed),
            Action::Turn => world.postgres.turn(),
            Action::Empty(bucket) => world.postgres.empty(bucket)?,
            Action::Crash { next_xid } => {
                world.crashes -= 1;
                world.lose_the_relay();
                world.postgres.crash(next_xid);
            }
        }
        world.forget_numbers();
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(self)
    }

    fn format_action(&self, action: &Action) -> String {
        match *action {
            Action::Publish(index) => format!("{} publishes", index + 1),
            Action::Commit(index) => format!("{} commits", index + 1),
            Action::Abort(index) => format!("{} aborts", index + 1),
            Action::Lead => "relay leads".to_owned(),
            Action::Lose => "relay lost".to_owned(),
            Action::Poll => "look".to_owned(),
            Action::Write(event) => format!("{event} written"),
            Action::WriteAdrift(_, event) => format!("{event} written late"),
            Action::Acknowledge(event) => format!("{event} acknowledged"),
            Action::Save { is_flushed: true } => "save".to_owned(),
            Action::Save { is_flushed: false } => "save, not on disk".to_owned(),
            Action::Turn => "retention passes".to_owned(),
            Action::Empty(_) => "bucket emptied".to_owned(),
            Action::Crash { next_xid } => format!("PostgreSQL crashes, next id {next_xid}"),
        }
    }
}
