use std::any::Any;

use db::DbError;
use kernel::{Class, Classify, cause_chain, shown};

/// Bounds a cause that is stored and logged: it may quote anything that an event contains.
const CAUSE_CHARS_MAX: usize = 1000;

/// What a handler's error means. The conversion from an error below alone decides it, by the
/// error's class.
#[derive(Debug)]
pub enum Failure {
    /// It may work later.
    Retry(Retry),
    /// It will never work: the event is parked for an operator.
    Park { code: &'static str, reason: String },
}

/// A failure that may pass: the transaction is rolled back, and the same event is tried again after
/// a delay. Its partition waits.
#[derive(Debug)]
pub struct Retry {
    pub class: Class,
    pub code: &'static str,
    /// The error and its causes, for an operator.
    pub cause: String,
}

impl<E: Classify> From<E> for Failure {
    fn from(error: E) -> Self {
        let (class, code, cause) = (error.class(), error.code(), cause_of(&error));
        if class.is_retried() {
            Self::Retry(Retry { class, code, cause })
        } else {
            Self::Park {
                code,
                reason: cause,
            }
        }
    }
}

impl Failure {
    pub(crate) fn cause(&self) -> &str {
        match self {
            Self::Retry(retry) => &retry.cause,
            Self::Park { reason, .. } => reason,
        }
    }

    /// The failure of a handler that panicked: a defect, as when it returns [`Class::Bug`].
    pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Self::Retry(Retry {
            class: Class::Bug,
            code: "internal_error",
            cause: format!(
                "the handler panicked: {}",
                shown(
                    text.unwrap_or("without a message").as_bytes(),
                    CAUSE_CHARS_MAX
                )
            ),
        })
    }
}

/// An error of the inbox's own statements is always retried: it says nothing about the event.
impl From<DbError> for Retry {
    fn from(error: DbError) -> Self {
        Self {
            class: error.class(),
            code: error.code(),
            cause: cause_of(&error),
        }
    }
}

/// The error and its causes, as text that can be stored, logged and printed.
fn cause_of(error: &dyn std::error::Error) -> String {
    shown(cause_chain(error).as_bytes(), CAUSE_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_quotes_an_event_so_that_it_can_be_stored() {
        #[derive(Debug, serde::Deserialize)]
        enum Known {}
        #[derive(Debug, thiserror::Error)]
        #[error("not known")]
        struct NotKnown(#[source] serde_json::Error);
        impl Classify for NotKnown {
            fn class(&self) -> Class {
                Class::Malformed
            }
            fn code(&self) -> &'static str {
                "not_known"
            }
        }
        let text = format!("\"a\\u0000{}\"", "b".repeat(1 << 20));
        let error = serde_json::from_str::<Known>(&text).unwrap_err();
        let Failure::Park { reason, .. } = Failure::from(NotKnown(error)) else {
            panic!("retried");
        };
        assert!(
            reason.chars().count() < CAUSE_CHARS_MAX + 30 && reason.contains(r"a\x00bbb"),
            "{reason}"
        );
    }

    #[derive(Debug, thiserror::Error)]
    #[error("failed")]
    struct Failed(Class);
    impl Classify for Failed {
        fn class(&self) -> Class {
            self.0
        }
        fn code(&self) -> &'static str {
            "failed"
        }
    }

    #[test]
    fn only_what_may_work_later_is_retried() {
        for class in Class::ALL {
            let retried = matches!(Failure::from(Failed(class)), Failure::Retry(_));
            assert_eq!(
                retried,
                matches!(class, Class::Unavailable | Class::Bug),
                "{class:?}"
            );
        }
    }

    #[test]
    fn a_panic_is_a_bug_and_says_so() {
        for panic in [
            Box::new("at 5") as Box<dyn Any + Send>,
            Box::new("at 5".to_owned()),
        ] {
            let Failure::Retry(retry) = Failure::panicked(&*panic) else {
                panic!("parked");
            };
            assert_eq!(
                (retry.class, &*retry.cause),
                (Class::Bug, "the handler panicked: at 5")
            );
        }
    }
}
