//! The table of parked events, and what the SQL of `libs/outbox/src/parked.rs` does with it, a
//! function for each statement.

use crate::relay::postgres::{Key, Row};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    Parked,
    Replay,
    Sent,
    Discarded,
}

/// By position.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub struct Parked {
    rows: Vec<(Row, State)>,
}

impl Parked {
    pub fn state(&self, row: &Row) -> Option<State> {
        let found = self
            .rows
            .iter()
            .find(|(other, _)| other.position == row.position);
        found.map(|(_, state)| *state)
    }

    pub fn of_state(&self, wanted: State) -> impl Iterator<Item = &Row> {
        let found = self.rows.iter().filter(move |(_, state)| *state == wanted);
        found.map(|(row, _)| row)
    }

    /// Whether a key has events that wait.
    pub fn has_waiting(&self, key: Key) -> bool {
        self.waiting(key).next().is_some()
    }

    fn waiting(&self, key: Key) -> impl Iterator<Item = &(Row, State)> {
        let waits = |state| matches!(state, State::Parked | State::Replay);
        self.rows
            .iter()
            .filter(move |(row, state)| row.event.key == key && waits(*state))
    }

    pub fn is_in_replay(&self, key: Key) -> bool {
        self.of_state(State::Replay).any(|row| row.event.key == key)
    }

    pub fn in_replay(&self, key: Key) -> Vec<Row> {
        let rows = self.of_state(State::Replay);
        rows.filter(|row| row.event.key == key).copied().collect()
    }

    /// The state of those of the row's key that wait, up to the row itself.
    fn state_of(&self, row: &Row) -> Option<State> {
        let waiting = self.waiting(row.event.key);
        let before = waiting.filter(|(other, _)| other.position <= row.position);
        before
            .map(|(_, state)| *state)
            .reduce(|one, other| if one == State::Replay { one } else { other })
    }

    fn insert(&mut self, row: Row, state: State) {
        match self
            .rows
            .iter_mut()
            .find(|(other, _)| other.position == row.position)
        {
            Some((_, before)) if *before == State::Sent => *before = state,
            Some(_) => {}
            None => {
                self.rows.push((row, state));
                self.rows.sort_unstable_by_key(|(row, _)| row.position);
            }
        }
    }

    pub fn park(&mut self, row: Row) {
        let state = self.state_of(&row).unwrap_or(State::Parked);
        self.insert(row, state);
    }

    /// Whether an earlier one of its key waits.
    pub fn park_behind(&mut self, row: Row) -> bool {
        let state = self.state_of(&row);
        if let Some(state) = state {
            self.insert(row, state);
        }
        state.is_some()
    }

    pub fn is_parked(&self, row: &Row) -> bool {
        matches!(self.state(row), Some(State::Parked | State::Discarded))
    }

    pub fn sent(&mut self, row: &Row) {
        self.set(row, State::Sent);
    }

    /// An event was refused again: it and what follows it wait once more.
    pub fn put_back(&mut self, key: Key) {
        self.change(key, &[State::Replay], State::Parked);
    }

    /// The first step of that, if it takes two.
    pub fn put_back_alone(&mut self, row: &Row) {
        self.set(row, State::Parked);
    }

    fn set(&mut self, row: &Row, state: State) {
        let at = |(other, _): &&mut (Row, State)| other.position == row.position;
        if let Some((_, before)) = self.rows.iter_mut().find(at) {
            *before = state;
        }
    }

    /// An operator's.
    pub fn replay(&mut self, key: Key) {
        self.change(key, &[State::Parked, State::Discarded], State::Replay);
    }

    /// An operator's.
    pub fn discard(&mut self, key: Key) {
        self.change(key, &[State::Parked, State::Replay], State::Discarded);
    }

    fn change(&mut self, key: Key, from: &[State], to: State) {
        for (row, state) in &mut self.rows {
            if row.event.key == key && from.contains(state) {
                *state = to;
            }
        }
    }
}
