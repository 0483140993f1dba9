//! What must be true of the log, the topic and the inbox at any time. It is judged from readings in
//! this order: the topic, the outcomes that the writers know, then the database in one snapshot.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::writers::KnownOutcomes;

/// Events in an order, each with its key.
pub type Sequence = Vec<(String, Uuid)>;

pub struct Evidence<'a> {
    /// The first message of each event on the topic, in its order.
    pub topic: &'a Sequence,
    pub outcomes: &'a KnownOutcomes,
    /// The outbox by position.
    pub log: &'a Sequence,
    /// Events of the log that were committed before the wait: they must have arrived everywhere.
    pub due: &'a HashSet<Uuid>,
    /// Events in the order in which the handler applied them.
    pub applied: &'a Sequence,
    /// The handler's count of events for each key.
    pub counted: &'a HashMap<String, i64>,
    pub inbox: &'a HashSet<Uuid>,
}

/// The violations, a line for each event; empty if there is none.
pub fn violations(seen: &Evidence<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut say = |ids: Vec<Uuid>, what: &str| {
        wrong.extend(ids.iter().map(|id| format!("event {id} {what}")));
    };
    let of =
        |sequence: &Sequence| -> HashSet<Uuid> { sequence.iter().map(|(_, id)| *id).collect() };
    let (log, topic, applied) = (of(seen.log), of(seen.topic), of(seen.applied));

    let without =
        |one: &HashSet<Uuid>, other: &HashSet<Uuid>| one.difference(other).copied().collect();
    say(
        without(&seen.outcomes.committed, &log),
        "was committed and is not in the outbox",
    );
    say(
        without(seen.due, &topic),
        "was committed and is not on the topic",
    );
    say(
        without(seen.due, &applied),
        "was committed and was not applied",
    );
    say(
        without(&topic, &log),
        "is on the topic and was never committed",
    );
    say(
        topic
            .intersection(&seen.outcomes.aborted)
            .copied()
            .collect(),
        "is on the topic and was rolled back",
    );
    say(
        without(&applied, &log),
        "was applied and was never committed",
    );
    say(
        without(&applied, seen.inbox),
        "was applied and has no row in the inbox",
    );
    say(
        without(seen.inbox, &applied),
        "has a row in the inbox and was not applied",
    );

    let mut once = HashSet::new();
    let twice = seen.applied.iter().map(|(_, id)| *id);
    say(
        twice.filter(|id| !once.insert(*id)).collect(),
        "was applied more than once",
    );

    for (what, sequence) in [("on the topic", seen.topic), ("applied", seen.applied)] {
        say(
            out_of_order(seen.log, sequence),
            &format!("is {what} before an earlier event of its key"),
        );
    }
    let mut counts: HashMap<&str, i64> = HashMap::new();
    for (key, _) in seen.applied {
        *counts.entry(key).or_default() += 1;
    }
    for (key, count) in seen.counted {
        let applied = counts.remove(key.as_str()).unwrap_or(0);
        if applied != *count {
            wrong.push(format!(
                "{key}: {count} events counted and {applied} applied"
            ));
        }
    }
    wrong
}

/// Events of a sequence that are out of order: the events of each key must be a prefix of those in
/// the log.
fn out_of_order(log: &Sequence, sequence: &Sequence) -> Vec<Uuid> {
    let mut expected: HashMap<&str, Vec<Uuid>> = HashMap::new();
    for (key, id) in log {
        expected.entry(key).or_default().push(*id);
    }
    let mut positions: HashMap<&str, usize> = HashMap::new();
    let mut wrong = Vec::new();
    for (key, id) in sequence {
        let position = positions.entry(key).or_default();
        let expected = expected
            .get(key.as_str())
            .and_then(|ids| ids.get(*position));
        if expected != Some(id) {
            wrong.push(*id);
        }
        *position += 1;
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        topic: Sequence,
        outcomes: KnownOutcomes,
        log: Sequence,
        applied: Sequence,
        inbox: HashSet<Uuid>,
        due: HashSet<Uuid>,
        counted: HashMap<String, i64>,
    }

    impl Case {
        fn of(count: usize) -> Self {
            let log: Sequence = (0..count)
                .map(|_| ("a".to_owned(), Uuid::now_v7()))
                .collect();
            let all: HashSet<Uuid> = log.iter().map(|(_, id)| *id).collect();
            Self {
                topic: log.clone(),
                outcomes: KnownOutcomes {
                    committed: all.clone(),
                    aborted: HashSet::new(),
                },
                applied: log.clone(),
                log,
                inbox: all.clone(),
                due: all,
                counted: HashMap::from([("a".to_owned(), i64::try_from(count).unwrap())]),
            }
        }

        fn says(&self, what: &str) -> bool {
            let found = violations(&Evidence {
                topic: &self.topic,
                outcomes: &self.outcomes,
                log: &self.log,
                due: &self.due,
                applied: &self.applied,
                counted: &self.counted,
                inbox: &self.inbox,
            });
            if what.is_empty() {
                return found.is_empty();
            }
            found.iter().any(|line| line.contains(what))
        }
    }

    #[test]
    fn what_is_well_is_not_complained_of() {
        assert!(Case::of(5).says(""));
    }

    #[test]
    fn what_is_under_way_is_not_complained_of() {
        let mut case = Case::of(5);
        let (_, last) = case.topic.pop().unwrap();
        case.applied.pop();
        case.inbox.remove(&last);
        case.due.remove(&last);
        case.counted.insert("a".to_owned(), 4);
        assert!(case.says(""));
    }

    #[test]
    fn each_kind_of_harm_is_named() {
        let mut lost = Case::of(5);
        lost.topic.pop();
        assert!(lost.says("is not on the topic"));
        let mut swapped = Case::of(5);
        swapped.topic.swap(1, 3);
        assert!(swapped.says("is on the topic before an earlier event"));
        let mut phantom = Case::of(5);
        phantom.log.pop();
        assert!(phantom.says("is on the topic and was never committed"));
        assert!(phantom.says("is not in the outbox"));
        let mut rolled_back = Case::of(5);
        rolled_back.outcomes.aborted.insert(rolled_back.log[2].1);
        assert!(rolled_back.says("was rolled back"));
        let mut twice = Case::of(5);
        twice.applied.push(twice.log[0].clone());
        assert!(twice.says("was applied more than once"));
        let mut no_row = Case::of(5);
        no_row.inbox.remove(&no_row.log[4].1);
        assert!(no_row.says("has no row in the inbox"));
        let mut miscounted = Case::of(5);
        miscounted.counted.insert("a".to_owned(), 6);
        assert!(miscounted.says("6 events counted and 5 applied"));
    }
}
