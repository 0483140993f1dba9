use stateright::{Model, Property};

use super::{
    Sending,
    client::PARTITIONS,
    parked::{Parked, State},
    properties,
    relay::{SendMode, Task},
    world::{Outcome, Sender, World},
};
use crate::relay::postgres::{self, Event, Key, Postgres};

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Action {
    /// A transaction publishes its event and commits.
    Commit(usize),
    Lead,
    Lose,
    Poll,
    ProcessParked,
    PutBack,
    Save,
    Send {
        sender: Sender,
        partition: usize,
        in_one_request: bool,
    },
    Answer {
        sender: Sender,
        partition: usize,
        outcome: Outcome,
    },
    Replay(Key),
    Discard(Key),
    /// The topic takes larger events from now on.
    Raise,
    PassADay,
}

impl Model for Sending {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let mut worlds = Vec::new();
        for keys in &self.stores {
            let transactions: Vec<&'static [Key]> = keys
                .iter()
                .map(|key| {
                    if *key == Key::A {
                        [Key::A].as_slice()
                    } else {
                        &[Key::B]
                    }
                })
                .collect();
            let events = || {
                keys.iter().zip(0..).map(|(key, of)| Event {
                    of,
                    nth: 0,
                    key: *key,
                })
            };
            let mut choices = vec![Vec::new()];
            if self.has_too_large {
                choices = events().map(|event| vec![event]).collect();
                choices.push(events().collect());
            }
            worlds.extend(choices.into_iter().map(|too_large| World {
                postgres: Postgres::new(&transactions),
                parked: Parked::default(),
                relay: None,
                mode: SendMode::Pipelined,
                ghosts: Vec::new(),
                leaders: [const { super::kafka::Leader::new() }; PARTITIONS],
                topic: [const { Vec::new() }; 2],
                too_large,
                left: self.left,
                discarded: Vec::new(),
                has_sent_discarded: false,
            }));
        }
        worlds
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let all = &world.postgres.transactions;
        let next = all
            .iter()
            .position(|one| one.state == postgres::State::NotBegun);
        actions.extend(next.map(Action::Commit));
        if let Some(relay) = &world.relay {
            if relay.is_reading() {
                actions.extend([Action::Poll, Action::ProcessParked]);
            }
            if matches!(relay.task, Task::PuttingBack(_)) {
                actions.push(Action::PutBack);
            }
            actions.extend(relay.progress.unsaved().map(|_| Action::Save));
            actions.extend((world.left.losses > 0).then_some(Action::Lose));
        } else {
            actions.push(Action::Lead);
        }
        requests(world, actions);
        if world.left.operations > 0 {
            for key in Key::ALL {
                let has = |state| world.parked.of_state(state).any(|row| row.event.key == key);
                let (parked, replay) = (has(State::Parked), has(State::Replay));
                actions.extend((parked || has(State::Discarded)).then_some(Action::Replay(key)));
                actions.extend((parked || replay).then_some(Action::Discard(key)));
            }
        }
        actions.extend((!world.too_large.is_empty()).then_some(Action::Raise));
        actions.extend((world.left.days > 0).then_some(Action::PassADay));
    }

    /// The world after an action, if that changes anything.
    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Commit(index) => {
                world.postgres.publish(index)?;
                world.postgres.commit(index);
            }
            Action::Lead => world.lead(self),
            Action::Lose => {
                world.left.losses -= 1;
                world.lose_the_relay();
            }
            Action::Poll => world.poll(self),
            Action::ProcessParked => world.process_parked(self),
            Action::PutBack => world.put_back(),
            Action::Save => world.save(),
            Action::Send {
                sender,
                partition,
                in_one_request,
            } => world.send(sender, partition, in_one_request),
            Action::Answer {
                sender,
                partition,
                outcome,
            } => {
                if matches!(outcome, Outcome::NotNow | Outcome::TakenUnheard) {
                    world.left.refusals -= 1;
                }
                world.answer(sender, partition, outcome, self)?;
            }
            Action::Replay(key) => {
                world.left.operations -= 1;
                world.parked.replay(key);
            }
            Action::Discard(key) => {
                world.left.operations -= 1;
                world.discard(key);
            }
            Action::Raise => world.too_large.clear(),
            Action::PassADay => {
                world.left.days -= 1;
                world.pass_a_day(self);
            }
        }
        world.tidy();
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(self)
    }

    fn format_action(&self, action: &Action) -> String {
        let who = |sender| {
            if sender == Sender::Leader {
                ""
            } else {
                "old relay: "
            }
        };
        match *action {
            Action::Commit(index) => format!("{} commits", index + 1),
            Action::Lead => "relay leads".to_owned(),
            Action::Lose => "relay lost".to_owned(),
            Action::Poll => "look".to_owned(),
            Action::ProcessParked => "look at what is parked".to_owned(),
            Action::PutBack => "those behind it put back".to_owned(),
            Action::Save => "save".to_owned(),
            Action::Send {
                sender,
                partition,
                in_one_request,
            } => format!(
                "{}{} sent to {partition}",
                who(sender),
                if in_one_request { "all" } else { "one" }
            ),
            Action::Answer {
                sender,
                partition,
                outcome,
            } => {
                let outcome = match outcome {
                    Outcome::Taken => "taken",
                    Outcome::TakenUnheard => "taken, and the answer lost",
                    Outcome::NotNow => "refused for now",
                    Outcome::Refused => "refused",
                };
                format!("{}request to {partition} {outcome}", who(sender))
            }
            Action::Replay(key) => format!("{key:?} replayed"),
            Action::Discard(key) => format!("{key:?} discarded"),
            Action::Raise => "limit raised".to_owned(),
            Action::PassADay => "a day passes".to_owned(),
        }
    }
}

/// The requests that producers may send, and the answers that Kafka may give.
fn requests(world: &World, actions: &mut Vec<Action>) {
    for (sender, feeder) in world.senders() {
        for partition in 0..PARTITIONS {
            if feeder.client.may_send(partition) {
                let send = |in_one_request| Action::Send {
                    sender,
                    partition,
                    in_one_request,
                };
                actions.extend([send(true), send(false)]);
            }
            let Some((_, request)) = feeder.client.queues[partition].first() else {
                continue;
            };
            let mut has = request.messages.iter();
            let is_refused = has.any(|message| world.too_large.contains(&message.event));
            let mut outcomes = vec![if is_refused {
                Outcome::Refused
            } else {
                Outcome::Taken
            }];
            if world.left.refusals > 0 {
                outcomes.push(Outcome::NotNow);
                outcomes.extend((!is_refused).then_some(Outcome::TakenUnheard));
            }
            actions.extend(outcomes.into_iter().map(|outcome| Action::Answer {
                sender,
                partition,
                outcome,
            }));
        }
    }
}
