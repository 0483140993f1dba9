//! What every alert must have, generated or written by hand.

/// Where the runbooks are.
pub const RUNBOOKS: &str = "docs/runbooks.md";
