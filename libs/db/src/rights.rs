use std::fmt::Write;

use connect::DatabaseRole;
use diesel::{
    QueryResult, QueryableByName, sql_query,
    sql_types::{Array, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

/// The rights of each role on a table or a function, in PostgreSQL's words: `SELECT, INSERT`, or
/// `SELECT (id, state)` for some columns. A role has no other rights; the owner has all.
#[derive(Clone, Copy, Debug)]
pub struct Rights {
    kind: &'static str,
    name: &'static str,
    service: &'static str,
    relay: &'static str,
    reader: &'static str,
}

/// Each program reads which migrations its database has.
pub(crate) const OF_MIGRATIONS: [Rights; 1] = [Rights::of_table("__diesel_schema_migrations")
    .service("SELECT")
    .reader("SELECT")];

impl Rights {
    /// Rights on a table that the same migrations create.
    pub const fn of_table(name: &'static str) -> Self {
        Self::of("TABLE", name)
    }

    /// Rights on a function that the same migrations create. Its name must not be overloaded.
    pub const fn of_function(name: &'static str) -> Self {
        Self::of("FUNCTION", name)
    }

    const fn of(kind: &'static str, name: &'static str) -> Self {
        Self {
            kind,
            name,
            service: "",
            relay: "",
            reader: "",
        }
    }

    #[must_use]
    pub const fn service(mut self, privileges: &'static str) -> Self {
        self.service = privileges;
        self
    }

    #[must_use]
    pub const fn relay(mut self, privileges: &'static str) -> Self {
        self.relay = privileges;
        self
    }

    #[must_use]
    pub const fn reader(mut self, privileges: &'static str) -> Self {
        self.reader = privileges;
        self
    }

    const fn role(&self, role: DatabaseRole) -> &'static str {
        match role {
            DatabaseRole::Service => self.service,
            DatabaseRole::Relay => self.relay,
            DatabaseRole::Reader => self.reader,
        }
    }
}

/// A role that exists.
#[derive(QueryableByName)]
struct ExistingRole {
    #[diesel(sql_type = Text)]
    suffix: String,
    /// This name and those below are quoted.
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Text)]
    database: String,
    #[diesel(sql_type = Text)]
    schema: String,
}

const EXISTING_ROLES: &str =
    "SELECT suffix, quote_ident(rolname) AS role, quote_ident(current_database()) AS database,
      quote_ident(current_schema()) AS schema
    FROM unnest($1) AS suffix JOIN pg_roles ON rolname = current_database() || suffix";

/// Gives the existing roles these rights and no others on these tables and functions, in one
/// transaction. Where there are no such roles the owner does everything, and nothing is changed.
pub(crate) async fn give(
    conn: &mut AsyncPgConnection,
    rights: impl Iterator<Item = &'static Rights>,
) -> QueryResult<()> {
    let suffixes = DatabaseRole::ALL.map(DatabaseRole::suffix);
    let known: Vec<ExistingRole> = sql_query(EXISTING_ROLES)
        .bind::<Array<Text>, _>(&suffixes[..])
        .load(conn)
        .await?;
    let [
        ExistingRole {
            database, schema, ..
        },
        ..,
    ] = known.as_slice()
    else {
        return Ok(());
    };
    let all = known.iter().map(|known| known.role.as_str());
    let all = all.collect::<Vec<_>>().join(", ");
    // The reader of an earlier version had default rights on all tables, also on future ones.
    let mut sql = format!(
        "BEGIN; GRANT CONNECT ON DATABASE {database} TO {all};
         GRANT USAGE ON SCHEMA {schema} TO {all};
         ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} REVOKE ALL ON TABLES FROM {all};"
    );
    for right in rights {
        let object = format!("{} {schema}.{}", right.kind, right.name);
        // PostgreSQL lets every role execute a new function.
        let _ = write!(sql, "REVOKE ALL ON {object} FROM PUBLIC, {all};");
        for role in DatabaseRole::ALL {
            let privileges = right.role(role);
            let known = known.iter().find(|known| known.suffix == role.suffix());
            if let (Some(known), false) = (known, privileges.is_empty()) {
                let _ = write!(sql, "GRANT {privileges} ON {object} TO {};", known.role);
            }
        }
    }
    sql += "COMMIT";
    conn.batch_execute(&sql).await
}
