use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use kernel::{Class, Classify, Id, Sku, Timestamp, Zone};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

/// The part of a collection that the caller asks for. Pages are cut by key, not by number, so that
/// no row is shown twice or skipped when others come or go meanwhile.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Items on the page: 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: Option<u16>,
    /// The last page's `next`.
    pub cursor: Option<String>,
}

/// The key of a row, as a cursor carries it. A client can make a cursor of its own, so it is read
/// with the same checks as any input.
pub trait CursorKey: Sized {
    /// The type that is read from the cursor.
    type Sent: DeserializeOwned;
    fn from_sent(sent: Self::Sent) -> Self;
}

macro_rules! sent_as_they_are {
    ($($key:ty),*) => {
        $(impl CursorKey for $key {
            type Sent = Self;
            fn from_sent(sent: Self) -> Self {
                sent
            }
        })*
    };
}
sent_as_they_are!(i16, i32, i64, Uuid, Sku, Zone);

impl<T: 'static> CursorKey for Id<T> {
    type Sent = Self;
    fn from_sent(sent: Self) -> Self {
        sent
    }
}
impl CursorKey for DateTime<Utc> {
    type Sent = Timestamp;
    fn from_sent(sent: Timestamp) -> Self {
        sent.get()
    }
}
impl<A: CursorKey, B: CursorKey> CursorKey for (A, B) {
    type Sent = (A::Sent, B::Sent);
    fn from_sent((a, b): Self::Sent) -> Self {
        (A::from_sent(a), B::from_sent(b))
    }
}
impl<A: CursorKey, B: CursorKey, C: CursorKey> CursorKey for (A, B, C) {
    type Sent = (A::Sent, B::Sent, C::Sent);
    fn from_sent((a, b, c): Self::Sent) -> Self {
        (A::from_sent(a), B::from_sent(b), C::from_sent(c))
    }
}

#[derive(Debug, thiserror::Error)]
pub enum InvalidCursor {
    #[error("the cursor is not one of ours; take it from the last page's next, unchanged")]
    Cursor,
    #[error("limit is 1 to 100")]
    Limit,
}

impl Classify for InvalidCursor {
    fn class(&self) -> Class {
        Class::Invalid
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Cursor => "invalid_cursor",
            Self::Limit => "invalid_query",
        }
    }
}

impl PageQuery {
    /// Items on the page; a query asks the database for one more, to know whether there is another
    /// page.
    pub fn limit(&self) -> Result<i64, InvalidCursor> {
        match self.limit.unwrap_or(50) {
            limit @ 1..=100 => Ok(i64::from(limit)),
            _ => Err(InvalidCursor::Limit),
        }
    }

    /// The key after which the page begins; `None` for the first page.
    pub fn after<K: CursorKey>(&self) -> Result<Option<K>, InvalidCursor> {
        let Some(cursor) = &self.cursor else {
            return Ok(None);
        };
        let json = URL_SAFE_NO_PAD
            .decode(cursor)
            .map_err(|_| InvalidCursor::Cursor)?;
        let sent = serde_json::from_slice(&json).map_err(|_| InvalidCursor::Cursor)?;
        Ok(Some(K::from_sent(sent)))
    }
}

/// A part of a collection.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// The cursor of the next page, or null on the last.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Makes a page of `limit` items out of rows of which one more was asked for.
    pub fn cut<K: Serialize>(mut rows: Vec<T>, limit: i64, key: impl FnOnce(&T) -> K) -> Self {
        let limit = usize::try_from(limit).expect("a page's limit is at most 100");
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|last| {
            let json = serde_json::to_vec(&key(last))
                .expect("keys are plain values, which are always JSON");
            URL_SAFE_NO_PAD.encode(json)
        });
        Self { items: rows, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_the_next_one_only_if_there_is_one() {
        let page = Page::cut(vec![1, 2, 3], 2, |last| *last);
        assert_eq!(page.items, [1, 2]);
        let query = PageQuery {
            limit: None,
            cursor: page.next,
        };
        assert_eq!(query.after::<i32>().unwrap(), Some(2));
        assert_eq!(Page::cut(vec![1, 2], 2, |last| *last).next, None);
    }

    /// PostgreSQL has no such dates, and would say so in the middle of a query.
    #[test]
    fn a_cursor_holds_only_what_the_database_has() {
        let read = |key: &str| {
            let cursor = Some(URL_SAFE_NO_PAD.encode(key));
            let query = PageQuery {
                limit: None,
                cursor,
            };
            query.after::<(DateTime<Utc>, Uuid)>()
        };
        let id = Uuid::nil();
        assert!(read(&format!("[\"2030-01-01T00:00:00Z\",\"{id}\"]")).is_ok());
        for time in [
            "-9999-01-01T00:00:00Z",
            "+262142-01-01T00:00:00Z",
            "\\u0000",
        ] {
            assert!(read(&format!("[\"{time}\",\"{id}\"]")).is_err(), "{time}");
        }
    }

    #[test]
    fn a_cursor_of_somebody_elses_is_refused() {
        for cursor in ["", "%%%", "eA", "bnVsbA=="] {
            let query = PageQuery {
                limit: None,
                cursor: Some(cursor.to_owned()),
            };
            assert!(query.after::<i32>().is_err(), "{cursor}");
        }
        assert!(
            PageQuery {
                limit: Some(0),
                cursor: None
            }
            .limit()
            .is_err()
        );
        assert!(
            PageQuery {
                limit: Some(101),
                cursor: None
            }
            .limit()
            .is_err()
        );
    }
}
