use std::{fmt, str::FromStr};

use uuid::Uuid;

/// The place of a piece of work in its trace, as W3C Trace Context writes it.
///
/// It travels from the HTTP request through the outbox row and the Kafka header into
/// the consumer, so that one order is one trace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace_id: u128,
    span_id: u64,
    flags: u8,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "not a traceparent by W3C Trace Context: 00-<32 hex digits>-<16 hex digits>-<2 hex digits>"
)]
pub struct InvalidTraceParent;

impl TraceParent {
    /// The start of a new trace.
    pub fn root() -> Self {
        let trace_id = Uuid::new_v4().as_u128();
        Self {
            trace_id,
            span_id: random_span(),
            flags: 1,
        }
    }

    /// The next step of the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self {
            span_id: random_span(),
            ..self
        }
    }

    /// The trace id in 32 hex digits, for logs.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// The id of this step in 16 hex digits.
    pub fn span_id(self) -> String {
        format!("{:016x}", self.span_id)
    }

    /// Whether the sender that began the trace wants it to be recorded.
    pub const fn is_sampled(self) -> bool {
        self.flags & 1 == 1
    }
}

/// Eight random bytes of a UUIDv4; never zero, which would be invalid, because the variant bits are
/// set.
fn random_span() -> u64 {
    Uuid::new_v4().as_u64_pair().1
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-{:02x}",
            self.trace_id, self.span_id, self.flags
        )
    }
}
impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        fn hex(part: Option<&str>, digits: usize) -> Result<u128, InvalidTraceParent> {
            part.filter(|part| {
                part.len() == digits && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            })
            .and_then(|part| u128::from_str_radix(part, 16).ok())
            .ok_or(InvalidTraceParent)
        }
        let mut parts = text.split('-');
        let version = hex(parts.next(), 2)?;
        let trace_id = hex(parts.next(), 32)?;
        let span_id = u64::try_from(hex(parts.next(), 16)?).map_err(|_| InvalidTraceParent)?;
        let flags = u8::try_from(hex(parts.next(), 2)?).map_err(|_| InvalidTraceParent)?;
        let too_long = version == 0 && parts.next().is_some();
        if version == 0xff || trace_id == 0 || span_id == 0 || too_long {
            return Err(InvalidTraceParent);
        }
        Ok(Self {
            trace_id,
            span_id,
            flags,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_reads_back_what_it_writes() {
        let trace = TraceParent::root();
        assert_eq!(trace.to_string().parse::<TraceParent>().unwrap(), trace);
        assert_eq!(trace.child().trace_id(), trace.trace_id());
    }

    #[test]
    fn what_the_recommendation_forbids_is_refused() {
        for wrong in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        ] {
            assert!(wrong.parse::<TraceParent>().is_err(), "{wrong}");
        }
    }
}
