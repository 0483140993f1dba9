use std::{cmp, fmt, hash, marker::PhantomData, str::FromStr};

use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::{Pg, PgValue},
    serialize::{self, Output, ToSql},
    sql_types,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// The identifier of a `T`. An order's id cannot be passed where a user's is wanted.
#[derive(FromSqlRow, AsExpression)]
#[diesel(sql_type = sql_types::Uuid)]
pub struct Id<T: 'static>(Uuid, PhantomData<fn() -> T>);

/// Marks the id of a person who uses the store.
#[derive(Debug)]
pub enum User {}
/// Marks the id of a session, from a log-in to its end.
#[derive(Debug)]
pub enum Session {}
/// Marks the id of an order.
#[derive(Debug)]
pub enum Order {}
/// Marks the id of a delivery slot.
#[derive(Debug)]
pub enum Slot {}

pub type UserId = Id<User>;
pub type SessionId = Id<Session>;
pub type OrderId = Id<Order>;
pub type SlotId = Id<Slot>;

impl<T> Id<T> {
    /// A new id. It is a UUIDv7, so that ids sort by the time they were made (RFC 9562).
    pub fn new() -> Self {
        Self::from_uuid(Uuid::now_v7())
    }

    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid, PhantomData)
    }

    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

/// The last three hex digits, which an order's id has in common with its customer's.
const TAIL: u128 = 0xfff;

impl OrderId {
    /// A new id for an order of this customer: a UUIDv7 that ends as the customer's id, so that
    /// every tool shows whose order it is. The time and the counter that make ids sort come before
    /// these digits.
    pub fn of(customer: UserId) -> Self {
        let (new, customer) = (Uuid::now_v7().as_u128(), customer.0.as_u128());
        Self::from_uuid(Uuid::from_u128((new & !TAIL) | (customer & TAIL)))
    }
}

impl<T> Default for Id<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<T> hash::Hash for Id<T> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
impl<T> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
impl<T> FromStr for Id<T> {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self::from_uuid)
    }
}

impl<T> Serialize for Id<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
impl<'de, T> Deserialize<'de> for Id<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Uuid::deserialize(deserializer).map(Self::from_uuid)
    }
}

impl<T: fmt::Debug> ToSql<sql_types::Uuid, Pg> for Id<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        ToSql::<sql_types::Uuid, Pg>::to_sql(&self.0, out)
    }
}
impl<T> FromSql<sql_types::Uuid, Pg> for Id<T> {
    fn from_sql(bytes: PgValue<'_>) -> deserialize::Result<Self> {
        <Uuid as FromSql<sql_types::Uuid, Pg>>::from_sql(bytes).map(Self::from_uuid)
    }
}

impl<T> schemars::JsonSchema for Id<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Id".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Uuid::json_schema(generator)
    }
}
impl<T> utoipa::PartialSchema for Id<T> {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
            .into()
    }
}
impl<T> utoipa::ToSchema for Id<T> {
    fn name() -> std::borrow::Cow<'static, str> {
        "Id".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_what_it_writes() {
        let id = OrderId::new();
        assert_eq!(id.to_string().parse::<OrderId>().unwrap(), id);
        assert!("not-an-id".parse::<OrderId>().is_err());
    }

    #[test]
    fn an_order_s_id_ends_as_its_customer_s() {
        let customers: Vec<UserId> = (0..100).map(|_| UserId::new()).collect();
        let ids: Vec<OrderId> = customers
            .iter()
            .cycle()
            .take(10_000)
            .map(|customer| OrderId::of(*customer))
            .collect();
        for (id, customer) in ids.iter().zip(customers.iter().cycle()) {
            let (id, customer) = (id.to_string(), customer.to_string());
            assert_eq!(id[33..], customer[33..]);
            let uuid: Uuid = id.parse().unwrap();
            assert_eq!(
                (uuid.get_version_num(), uuid.get_variant()),
                (7, uuid::Variant::RFC4122)
            );
        }
        assert!(ids.is_sorted());
        let different: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(different.len(), ids.len());
    }

    #[test]
    fn later_ids_sort_after_earlier_ones() {
        let ids: Vec<OrderId> = (0..100).map(|_| OrderId::new()).collect();
        assert!(ids.is_sorted());
    }
}
