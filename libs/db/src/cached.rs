use diesel::{
    QueryResult,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::Untyped,
};

/// See [`cached`].
#[must_use = "a query does nothing until it is executed"]
pub struct Cached<Q>(Q);

/// A query whose text never changes: each connection prepares it once. Diesel does that by itself
/// where it can tell, which is not so for SQL, updates, and inserts of several rows: these the
/// server parses and plans anew each time, and each time the driver waits for that.
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

/// Found in the cache by its text.
impl<Q> QueryId for Cached<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}
