use connect::ConnectError;
use outbox::log::LogError;
use rdkafka::error::KafkaError;

use crate::producer::shared::ProducerError;

/// Why a relay cannot go on. Most causes end by themselves, and the relay tries again.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Producer(#[from] ProducerError),
    #[error("Kafka's producer cannot be made")]
    ProducerStart(#[from] KafkaError),
    #[error(
        "this outbox was read on the database cluster {saved} and is now on {found}: it was \
         copied or restored elsewhere, and the saved position means nothing here; start the relay \
         once with --go-on-from now (what is in the outbox counts as sent) or --go-on-from all \
         (all of it is sent again; consumers drop what they know)"
    )]
    OtherCluster { saved: i64, found: i64 },
    #[error(
        "the database was promoted from timeline {saved} to {found}; start the relay with \
         --on-promotion go-on if that was meant"
    )]
    Promoted { saved: i32, found: i32 },
}

impl RelayError {
    /// Whether the relay ends, because only an operator can remove the cause.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::OtherCluster { .. }
                | Self::Promoted { .. }
                | Self::Log(
                    LogError::UnknownCluster { .. } | LogError::Connect(ConnectError::Pooler(_))
                )
        )
    }
}
