use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Whether a person may use the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Active,
    /// A manager suspended the account: its owner cannot log in.
    Suspended,
}

#[derive(Debug, thiserror::Error)]
#[error("a status is active or suspended")]
pub struct InvalidStatus;

impl Status {
    pub const ALL: [Self; 2] = [Self::Active, Self::Suspended];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }
}

impl FromStr for Status {
    type Err = InvalidStatus;
    fn from_str(text: &str) -> Result<Self, InvalidStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(InvalidStatus)
    }
}
