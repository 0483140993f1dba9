use std::{io::Write, num::NonZero, thread, time::Instant};

use stateright::{Checker, HasDiscoveries, Model};

use crate::saga::Saga;

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
    let broken = properties.iter().filter(|property| property.expectation.discovery_is_failure());
    let found = broken.filter_map(|property| checker.discovery(property.name)).map(|path| path.into_states().len());
    if let Some(length) = found.min() {
        let (property, trace) = shortest(saga, length);
        panic!("{name}: not so: {property}\ntrace: {trace}");
    }
    for property in &properties {
        assert!(
            property.expectation.discovery_is_failure() || checker.discovery(property.name).is_some(),
            "{name}: never so: {}",
            property.name
        );
    }
}

/// The checker says where it met a broken property last, not first. So it looks again, less and less far.
fn shortest(saga: &Saga, mut length: usize) -> (&'static str, String) {
    let mut shortest = None;
    loop {
        let checker = explorer(saga).target_max_depth(length + 1).spawn_bfs().join();
        let properties = saga.properties().into_iter();
        let broken = properties.filter(|property| property.expectation.discovery_is_failure());
        let found = broken.filter_map(|property| Some((property.name, checker.discovery(property.name)?)));
        let Some((name, path)) = found.min_by_key(|(_, path)| path.clone().into_states().len()) else {
            return shortest.expect("it was found before");
        };
        length = path.clone().into_states().len() - 1;
        let actions: Vec<_> = path.into_actions().iter().map(|action| saga.format_action(action)).collect();
        shortest = Some((name, actions.join(" · ")));
    }
}

fn explorer(saga: &Saga) -> stateright::CheckerBuilder<Saga> {
    saga.clone().checker().finish_when(HasDiscoveries::AnyFailures)
}
