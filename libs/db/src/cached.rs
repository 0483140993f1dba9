use diesel::{
    QueryResult,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::Untyped,
};

/// A query that each connection prepares once; see [`cached`].
#[must_use = "a query does nothing until it is executed"]
pub struct Cached<Q>(Q);

/// Marks a query whose text never changes: each connection prepares it once. Diesel does that by
/// itself only where it can tell. It cannot for SQL, updates, and inserts of several rows: without
/// this mark the server parses and plans them each time, and the driver waits for that.
pub fn cached<Q>(query: Q) -> Cached<Q> {
    Cached(query)
}

impl<Q> Query for Cached<Q> {
    type SqlType = Untyped;
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Cached<Q> {
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(pass)
    }

    fn is_safe_to_cache_prepared(&self, _: &Pg) -> QueryResult<bool> {
        Ok(true)
    }
}

/// Diesel finds the prepared query by its text, not by its type.
impl<Q> QueryId for Cached<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}
