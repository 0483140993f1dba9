/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// Its handler's transaction committed.
    Applied,
    /// It was applied or parked before.
    Duplicate,
    /// This consumer has no handler for its type.
    Ignored,
    /// It waits for an operator, by itself or behind an earlier event of its key.
    Parked,
}
