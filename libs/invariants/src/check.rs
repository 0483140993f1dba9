/// A query whose every row is a contradiction.
pub struct Check {
    /// The service whose database is asked.
    pub service: &'static str,
    /// Says what a row is.
    pub what: &'static str,
    /// Each row has two texts: the id of what contradicts, and how. The setting `tovar.key_hours`
    /// must say for how many hours idempotency keys are kept.
    pub sql: &'static str,
}
