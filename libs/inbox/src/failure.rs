use kernel::{Class, Classify, cause_chain};

/// What a handler's error means. This is the one place that decides it.
#[derive(Debug)]
pub enum Failure {
    /// It may work later: roll back, wait, the same event again. Its partition waits.
    Retry {
        class: Class,
        code: &'static str,
        cause: String,
    },
    /// It will never work: put the event aside for an operator.
    Park { code: &'static str, reason: String },
}

impl<E: Classify> From<E> for Failure {
    fn from(error: E) -> Self {
        let (class, code, cause) = (error.class(), error.code(), cause_chain(&error));
        if class.is_retried() {
            Self::Retry { class, code, cause }
        } else {
            Self::Park { code, reason: cause }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let retried = matches!(Failure::from(Failed(class)), Failure::Retry { .. });
            assert_eq!(
                retried,
                matches!(class, Class::Unavailable | Class::Bug),
                "{class:?}"
            );
        }
    }
}
