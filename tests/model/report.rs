use std::{io::Write, num::NonZero, thread, time::Instant};

use stateright::{Checker, CheckerBuilder, HasDiscoveries, Model};

use crate::saga::{Action, Saga};

/// Explores every state within the bounds, prints how many there are, and fails with the shortest way to a state in which
/// a property does not hold.
pub fn check(name: &str, saga: &Saga) {
    let started = Instant::now();
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let checker = explorer(saga).threads(threads).spawn_bfs().join();
    // Past the test harness, which keeps what a green test prints.
    let _ = writeln!(
        std::io::stderr(),
        "model: {name}: {} states, {} steps, at most {} in a row, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        started.elapsed().as_secs_f64(),
    );
    let properties = saga.properties();
    if let Some((property, trace)) = counterexample(saga, &checker) {
        // With two orders that would take as long again for each step less.
        let (property, trace) = if saga.orders == 1 {
            shortest(saga, property, trace)
        } else {
            (property, trace)
        };
        let trace: Vec<_> = trace.iter().map(|action| saga.format_action(action)).collect();
        panic!("{name}: not so: {property}\ntrace: {}", trace.join(" · "));
    }
    for property in &properties {
        assert!(
            property.expectation.discovery_is_failure() || checker.discovery(property.name).is_some(),
            "{name}: never so: {}",
            property.name
        );
    }
}

/// The checker tells where it met a broken property last, not first. So it looks again, less and less far.
fn shortest(saga: &Saga, mut property: &'static str, mut trace: Vec<Action>) -> (&'static str, Vec<Action>) {
    loop {
        // A depth counts states, of which there is one more than actions, and is not reached.
        let checker = explorer(saga)
            .target_max_depth(trace.len() + 1)
            .spawn_bfs()
            .join();
        match counterexample(saga, &checker) {
            Some((shorter, actions)) => (property, trace) = (shorter, actions),
            None => return (property, trace),
        }
    }
}

/// The property that is broken after the fewest actions, and these.
fn counterexample(saga: &Saga, checker: &impl Checker<Saga>) -> Option<(&'static str, Vec<Action>)> {
    let properties = saga.properties().into_iter();
    let wanted = properties.filter(|property| property.expectation.discovery_is_failure());
    let broken = wanted.filter_map(|property| Some((property.name, checker.discovery(property.name)?)));
    broken
        .map(|(name, path)| (name, path.into_actions()))
        .min_by_key(|(_, actions)| actions.len())
}

fn explorer(saga: &Saga) -> CheckerBuilder<Saga> {
    saga.clone().checker().finish_when(HasDiscoveries::AnyFailures)
}
