use std::{borrow::Cow, str::FromStr};

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, Serialize};

/// A point in time from outside, as the store can keep it: in microseconds, PostgreSQL's precision,
/// and in the years 1 to 9999, which RFC 3339 can write.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(transparent)]
pub struct Timestamp(DateTime<Utc>);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a time is written as RFC 3339 has it, such as 2030-01-31T10:00:00Z, with a year from 0001 to \
     9999"
)]
pub struct InvalidTimestamp;

impl Timestamp {
    /// Truncates the time to microseconds.
    pub fn new(time: DateTime<Utc>) -> Result<Self, InvalidTimestamp> {
        if (1..=9999).contains(&time.year()) {
            Ok(Self(to_microseconds(time)))
        } else {
            Err(InvalidTimestamp)
        }
    }

    pub const fn get(self) -> DateTime<Utc> {
        self.0
    }
}

/// The same time without what is finer than a microsecond.
pub(crate) fn to_microseconds(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}

/// The time `span` after a time; the last time that exists, if that is beyond it.
pub fn after(time: DateTime<Utc>, span: TimeDelta) -> DateTime<Utc> {
    time.checked_add_signed(span)
        .unwrap_or(to_microseconds(DateTime::<Utc>::MAX_UTC))
}

impl From<Timestamp> for DateTime<Utc> {
    fn from(time: Timestamp) -> Self {
        time.0
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;
    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| InvalidTimestamp)?;
        Self::new(time.to_utc())
    }
}
impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
impl utoipa::PartialSchema for Timestamp {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into()
    }
}
impl utoipa::ToSchema for Timestamp {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_microseconds_and_a_year_of_four_digits() {
        let read = |text: &str| {
            text.parse::<Timestamp>()
                .map(|time| time.get().to_rfc3339())
        };
        for (text, kept) in [
            ("2030-01-31T10:00:00Z", "2030-01-31T10:00:00+00:00"),
            (
                "2030-01-31T10:00:00.123456789Z",
                "2030-01-31T10:00:00.123456+00:00",
            ),
            (
                "2030-01-31T10:00:00.9999999+02:00",
                "2030-01-31T08:00:00.999999+00:00",
            ),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00+00:00"),
            (
                "9999-12-31T23:59:59.9999999Z",
                "9999-12-31T23:59:59.999999+00:00",
            ),
        ] {
            assert_eq!(read(text).as_deref(), Ok(kept), "{text}");
        }
        for text in [
            "",
            "2030-01-31",
            "2030-01-31T10:00:00",
            "2030-02-30T10:00:00Z",
            "-9999-01-01T00:00:00Z",
            "+262142-12-31T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "infinity",
        ] {
            assert_eq!(read(text), Err(InvalidTimestamp), "{text}");
        }
    }

    #[test]
    fn nothing_is_later_than_the_last_time() {
        let hour = TimeDelta::hours(1);
        assert_eq!(after(DateTime::UNIX_EPOCH, hour).timestamp(), 3600);
        let last = after(DateTime::<Utc>::MAX_UTC, hour);
        assert_eq!(last, after(last, hour));
        assert_eq!(last, to_microseconds(last));
    }
}
