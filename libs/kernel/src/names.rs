use std::{fmt, str::FromStr};

use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::{Pg, PgValue},
    serialize::{self, Output, ToSql},
    sql_types,
};
use serde::{Deserialize, Deserializer, Serialize};

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a {what} is 1 to 64 characters out of a-z, A-Z, 0-9, '-', '_' and '.', and starts with a \
     letter or digit"
)]
pub struct InvalidName {
    what: &'static str,
}

fn is_valid(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

const PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, FromSqlRow, AsExpression)]
        #[diesel(sql_type = sql_types::Text)]
        #[serde(transparent)]
        pub struct $type(String);

        impl $type {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $type {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                if is_valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidName { what: $what })
                }
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl ToSql<sql_types::Text, Pg> for $type {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                ToSql::<sql_types::Text, Pg>::to_sql(self.0.as_str(), out)
            }
        }
        impl FromSql<sql_types::Text, Pg> for $type {
            fn from_sql(bytes: PgValue<'_>) -> deserialize::Result<Self> {
                Ok(<String as FromSql<sql_types::Text, Pg>>::from_sql(bytes)?.parse()?)
            }
        }
        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": PATTERN })
            }
        }
        impl utoipa::PartialSchema for $type {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::schema::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some(PATTERN))
                    .into()
            }
        }
        impl utoipa::ToSchema for $type {}
    };
}

name! {
    /// A stock keeping unit: one kind of goods, such as `tea-green-100g`.
    Sku, "SKU"
}
name! {
    /// A delivery zone, such as `vienna-1010`.
    Zone, "zone"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for good in ["a", "tea-green_100.g", "9", &"x".repeat(64)] {
            assert_eq!(good.parse::<Sku>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a b", "ä", "a\0", "a/b", "..", &"x".repeat(65)] {
            assert!(bad.parse::<Sku>().is_err(), "{bad:?}");
        }
    }
}
