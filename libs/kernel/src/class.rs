/// What kind of failure an error is.
///
/// The class alone decides the HTTP status, whether a consumer retries or parks, the log level and
/// the metric label; no other place in the store judges an error.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// The request cannot be read: 400.
    Malformed,
    /// The caller did not prove their identity: 401.
    Unauthenticated,
    /// The caller is known and may not do this: 403.
    Denied,
    /// There is nothing here for this caller: 404.
    NotFound,
    /// The state of the resource does not allow it now: 409.
    Conflict,
    /// The answer or the resource was deleted for good: 410.
    Gone,
    /// The resource changed since the caller last read it: 412.
    Precondition,
    /// The request exceeds a size limit: 413.
    TooLarge,
    /// The request was understood and makes no sense for the domain: 422.
    Invalid,
    /// The caller sends too many requests: 429.
    Limited,
    /// A part that this service needs is away at the moment; a retry may help: 503.
    Unavailable,
    /// A defect of the program: 500.
    Bug,
}

impl Class {
    /// Every class, for metrics whose labels exist from the start.
    pub const ALL: [Self; 12] = [
        Self::Malformed,
        Self::Unauthenticated,
        Self::Denied,
        Self::NotFound,
        Self::Conflict,
        Self::Gone,
        Self::Precondition,
        Self::TooLarge,
        Self::Invalid,
        Self::Limited,
        Self::Unavailable,
        Self::Bug,
    ];

    /// The class as a metric label and a log field.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unauthenticated => "unauthenticated",
            Self::Denied => "denied",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Gone => "gone",
            Self::Precondition => "precondition",
            Self::TooLarge => "too_large",
            Self::Invalid => "invalid",
            Self::Limited => "limited",
            Self::Unavailable => "unavailable",
            Self::Bug => "bug",
        }
    }

    /// Whether the same work may succeed later although nothing in it is changed.
    ///
    /// A bug is retried too, for a while: it may depend on a state that passes.
    pub const fn is_retried(self) -> bool {
        matches!(self, Self::Unavailable | Self::Bug)
    }
}

/// An error that says what kind of failure it is.
///
/// Its `Display` is the message for the client; its `source` chain is the cause for the operator
/// and never leaves the service.
pub trait Classify: std::error::Error + Send + Sync + 'static {
    fn class(&self) -> Class;

    /// A stable code for clients and metrics, such as `insufficient_funds`.
    fn code(&self) -> &'static str;

    /// Seconds after which a client may try the same request again, where that makes sense.
    fn retry_after(&self) -> Option<u32> {
        matches!(self.class(), Class::Unavailable | Class::Limited).then_some(1)
    }

    /// The order's present total in minor units, if the error is that its customer expects another
    /// total.
    fn total(&self) -> Option<i64> {
        None
    }
}

/// The error and everything that caused it, in one line for the operator.
pub fn cause_chain(error: &dyn std::error::Error) -> String {
    let mut chain = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !chain.ends_with(&text) {
            chain.push_str(": ");
            chain.push_str(&text);
        }
        source = cause.source();
    }
    chain
}
