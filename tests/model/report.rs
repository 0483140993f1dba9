use std::{
    collections::BTreeSet,
    fmt::Debug,
    hash::Hash,
    io::Write,
    num::NonZero,
    thread,
    time::{Duration, Instant},
};

use stateright::{Checker, CheckerBuilder, HasDiscoveries, Model};

/// A way is not made shorter when finding it took so long.
const LONG: Duration = Duration::from_secs(15);

/// What can be checked: a model whose states can be compared and go from thread to thread.
pub trait Checked:
    Model<State: Clone + Debug + Hash + PartialEq + Send + Sync, Action: Clone + Debug + PartialEq>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<M> Checked for M where
    M: Model<
            State: Clone + Debug + Hash + PartialEq + Send + Sync,
            Action: Clone + Debug + PartialEq,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

/// Explores every state within the bounds, prints how many there are, and fails with a way to a
/// state in which a property does not hold: the shortest one, unless it takes long to find.
pub fn check<M: Checked>(name: &str, model: &M) {
    let started = Instant::now();
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let properties = model.properties();
    let failures = properties
        .iter()
        .filter(|property| property.expectation.discovery_is_failure());
    let wanted = failures.map(|property| property.name).collect();
    let checker = explorer(model, &wanted).threads(threads).spawn_bfs().join();
    // Past the test harness, which keeps what a green test prints.
    let _ = writeln!(
        std::io::stderr(),
        "model: {name}: {} states, {} steps, at most {} in a row, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        started.elapsed().as_secs_f64(),
    );
    if let Some((property, trace)) = counterexample(&wanted, &checker) {
        // Each step less takes as long again.
        let (property, trace) = if started.elapsed() < LONG {
            shortest(model, &wanted, property, trace)
        } else {
            (property, trace)
        };
        panic!("{name}: not so: {property}\ntrace: {}", told(model, &trace));
    }
    for property in &properties {
        assert!(
            property.expectation.discovery_is_failure()
                || checker.discovery(property.name).is_some(),
            "{name}: never so: {}",
            property.name
        );
    }
}

/// Fails unless there is a way to a state in which `property` does not hold, and prints the
/// shortest one: what a rule is for that the model leaves out.
pub fn check_finds<M: Checked>(name: &str, model: &M, property: &'static str) {
    let wanted = [property].into();
    let checker = explorer(model, &wanted).spawn_bfs().join();
    let Some((_, trace)) = counterexample(&wanted, &checker) else {
        panic!("{name}: always so: {property}");
    };
    let (_, trace) = shortest(model, &wanted, property, trace);
    let trace = told(model, &trace);
    let _ = writeln!(
        std::io::stderr(),
        "model: {name}: not so: {property}: {trace}"
    );
}

fn told<M: Checked>(model: &M, trace: &[M::Action]) -> String {
    let trace: Vec<_> = trace
        .iter()
        .map(|action| model.format_action(action))
        .collect();
    trace.join(" · ")
}

/// The checker tells where it met a broken property last, not first. So it looks again, less and
/// less far.
fn shortest<M: Checked>(
    model: &M,
    wanted: &BTreeSet<&'static str>,
    mut property: &'static str,
    mut trace: Vec<M::Action>,
) -> (&'static str, Vec<M::Action>) {
    loop {
        // A depth counts states, of which there is one more than actions, and is not reached.
        let checker = explorer(model, wanted)
            .target_max_depth(trace.len() + 1)
            .spawn_bfs()
            .join();
        match counterexample(wanted, &checker) {
            Some((shorter, actions)) => (property, trace) = (shorter, actions),
            None => return (property, trace),
        }
    }
}

/// The property that is broken after the fewest actions, and these.
fn counterexample<M: Checked>(
    wanted: &BTreeSet<&'static str>,
    checker: &impl Checker<M>,
) -> Option<(&'static str, Vec<M::Action>)> {
    let broken = wanted
        .iter()
        .filter_map(|name| Some((*name, checker.discovery(name)?)));
    broken
        .map(|(name, path)| (name, path.into_actions()))
        .min_by_key(|(_, actions)| actions.len())
}

/// Explores until one of the wanted properties is broken.
fn explorer<M: Checked>(model: &M, wanted: &BTreeSet<&'static str>) -> CheckerBuilder<M> {
    let wanted = HasDiscoveries::AnyOf(wanted.clone());
    model.clone().checker().finish_when(wanted)
}
