//! Values that generated alerts and those written by hand share.

/// Where the runbooks are.
pub const RUNBOOKS: &str = "docs/runbooks.md";
