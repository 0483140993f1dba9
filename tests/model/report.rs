use std::{
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
    M: Model<State: Clone + Debug + Hash + PartialEq + Send + Sync, Action: Clone + Debug + PartialEq>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// Explores every state within the bounds, prints how many there are, and fails with a way to a state in which a property
/// does not hold: the shortest one, unless it takes long to find.
pub fn check<M: Checked>(name: &str, model: &M) {
    let started = Instant::now();
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let checker = explorer(model).threads(threads).spawn_bfs().join();
    // Past the test harness, which keeps what a green test prints.
    let _ = writeln!(
        std::io::stderr(),
        "model: {name}: {} states, {} steps, at most {} in a row, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        started.elapsed().as_secs_f64(),
    );
    let properties = model.properties();
    if let Some((property, trace)) = counterexample(model, &checker) {
        // It takes as long again for each step less.
        let (property, trace) = if started.elapsed() < LONG {
            shortest(model, property, trace)
        } else {
            (property, trace)
        };
        let trace: Vec<_> = trace.iter().map(|action| model.format_action(action)).collect();
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
fn shortest<M: Checked>(
    model: &M,
    mut property: &'static str,
    mut trace: Vec<M::Action>,
) -> (&'static str, Vec<M::Action>) {
    loop {
        // A depth counts states, of which there is one more than actions, and is not reached.
        let checker = explorer(model)
            .target_max_depth(trace.len() + 1)
            .spawn_bfs()
            .join();
        match counterexample(model, &checker) {
            Some((shorter, actions)) => (property, trace) = (shorter, actions),
            None => return (property, trace),
        }
    }
}

/// The property that is broken after the fewest actions, and these.
fn counterexample<M: Checked>(
    model: &M,
    checker: &impl Checker<M>,
) -> Option<(&'static str, Vec<M::Action>)> {
    let properties = model.properties().into_iter();
    let wanted = properties.filter(|property| property.expectation.discovery_is_failure());
    let broken = wanted.filter_map(|property| Some((property.name, checker.discovery(property.name)?)));
    broken
        .map(|(name, path)| (name, path.into_actions()))
        .min_by_key(|(_, actions)| actions.len())
}

fn explorer<M: Checked>(model: &M) -> CheckerBuilder<M> {
    model.clone().checker().finish_when(HasDiscoveries::AnyFailures)
}
