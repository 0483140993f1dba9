use diesel::result::{DatabaseErrorKind, Error as QueryError};
use kernel::{Class, Classify};

/// Why a transaction did not happen.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    #[error("the database cannot be reached at the moment")]
    Pool(#[from] diesel_async::pooled_connection::bb8::RunError),
    #[error("the database did not carry out a query")]
    Query(#[source] QueryError),
    /// The connection broke between COMMIT and its answer.
    #[error(
        "the database was lost while the change was being stored; it may have been stored: send it \
         again, with the same key if it had one"
    )]
    OutcomeUnknown(#[source] QueryError),
    /// A newer release wrote it, before the service was rolled back to this one. It is readable
    /// again with that release.
    #[error("the database holds something that this release does not know")]
    OfNewerRelease(#[from] UnknownValue),
    #[error(
        "the server's messages are in {0:?}; set lc_messages of the server to C or en_US.UTF-8"
    )]
    Language(String),
    /// A write changed another number of rows than it must.
    #[error("{what}: {changed} rows changed, {expected} expected")]
    RowCount {
        what: &'static str,
        changed: usize,
        expected: usize,
    },
}

/// A value of the database, such as the state of an order, that this release does not know, and
/// must not take for one that it knows.
#[derive(Debug, thiserror::Error)]
#[error("{what} is {value:?}; run the release that wrote it")]
pub struct UnknownValue {
    pub what: &'static str,
    pub value: String,
}

impl UnknownValue {
    /// Returns `known`, or an error that says that `what` has the unknown `value`.
    pub fn or<T>(
        known: Option<T>,
        what: &'static str,
        value: impl Into<String>,
    ) -> Result<T, Self> {
        known.ok_or_else(|| Self {
            what,
            value: value.into(),
        })
    }
}

impl From<QueryError> for DbError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::DeserializationError(cause) => match cause.downcast::<UnknownValue>() {
                Ok(unknown) => Self::OfNewerRelease(*unknown),
                Err(cause) => Self::Query(QueryError::DeserializationError(cause)),
            },
            other => Self::Query(other),
        }
    }
}

/// The code of an error after which it is not known whether the transaction was committed.
pub const OUTCOME_UNKNOWN: &str = "outcome_unknown";

impl DbError {
    /// The error of a failed COMMIT. Only a change that PostgreSQL itself refused is certainly not
    /// stored.
    pub(crate) fn of_commit(error: QueryError) -> Self {
        if is_lost(&error) {
            Self::OutcomeUnknown(error)
        } else {
            Self::Query(error)
        }
    }

    /// Returns an error if a write changed another number of rows than expected.
    pub fn expect_rows(what: &'static str, expected: usize, changed: usize) -> Result<(), Self> {
        if changed == expected {
            Ok(())
        } else {
            Err(Self::RowCount {
                what,
                changed,
                expected,
            })
        }
    }
}

impl Classify for DbError {
    fn class(&self) -> Class {
        match self {
            Self::Pool(_) | Self::OfNewerRelease(_) | Self::OutcomeUnknown(_) => Class::Unavailable,
            Self::Query(error) if is_transient(error) => Class::Unavailable,
            Self::Query(_) | Self::Language(_) | Self::RowCount { .. } => Class::Bug,
        }
    }

    fn code(&self) -> &'static str {
        match (self, self.class()) {
            (Self::OfNewerRelease(_), _) => "of_newer_release",
            (Self::OutcomeUnknown(_), _) => OUTCOME_UNKNOWN,
            (_, Class::Unavailable) => "database_unavailable",
            _ => "internal_error",
        }
    }
}

/// Whether the same transaction may succeed when it is tried again.
///
/// The driver gives no SQLSTATE for most of these, so the server's message decides. The messages
/// are constant in the C and English locales; `Db::open` fails with a server of another language.
fn is_transient(error: &QueryError) -> bool {
    let QueryError::DatabaseError(kind, info) = error else {
        return matches!(error, QueryError::BrokenTransactionManager);
    };
    match kind {
        // Another transaction added the same row first; the next attempt finds it.
        DatabaseErrorKind::UniqueViolation
        | DatabaseErrorKind::ClosedConnection
        | DatabaseErrorKind::UnableToSendCommand
        | DatabaseErrorKind::SerializationFailure
        | DatabaseErrorKind::ReadOnlyTransaction => true,
        DatabaseErrorKind::Unknown => {
            let message = info.message();
            TRANSIENT_MESSAGES
                .iter()
                .any(|known| message.starts_with(known))
        }
        _ => false,
    }
}

/// Whether the connection ended before the server's answer, or by it.
fn is_lost(error: &QueryError) -> bool {
    match error {
        QueryError::DatabaseError(
            DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand,
            _,
        )
        | QueryError::BrokenTransactionManager => true,
        QueryError::DatabaseError(DatabaseErrorKind::Unknown, info) => {
            let message = info.message();
            ENDING_MESSAGES
                .iter()
                .any(|known| message.starts_with(known))
        }
        _ => false,
    }
}

/// The messages by which the server ends a connection, also one whose transaction it has committed
/// a moment ago.
const ENDING_MESSAGES: [&str; 2] = ["terminating connection", "the database system is"];

/// The beginnings of messages after which the same transaction may succeed.
const TRANSIENT_MESSAGES: [&str; 9] = [
    "deadlock detected",               // 40P01
    "terminating connection",          // 57P01, 57P02, 57P05, 25P03
    "the database system is",          // 57P03
    "canceling statement due to",      // 57014: statement and lock timeouts
    "could not serialize access",      // 40001
    "sorry, too many clients already", // 53300
    "remaining connection slots",      // 53300
    "could not extend file",           // 53100: disk full
    "could not write to file",         // 53100: disk full
];
