//! An order as all databases together show it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use tokio_postgres::{Row, Transaction};
use uuid::Uuid;

/// What each service stores about an order; empty where a service does not know it.
#[derive(Default, Debug)]
pub struct Order {
    pub status: Option<String>,
    pub total: Option<i64>,
    pub deadline: Option<DateTime<Utc>>,
    pub money: Option<String>,
    /// What the ledger holds for it, not yet captured or released.
    pub held: i64,
    pub captured: i64,
    pub refunded: i64,
    pub parcel: Option<String>,
    pub booking: Option<String>,
    /// The outcome in its customer's notification.
    pub notified: Option<String>,
}

pub type Orders = BTreeMap<Uuid, Order>;

impl Order {
    pub fn has_status(&self, any_of: &[&str]) -> bool {
        is(self.status.as_deref(), any_of)
    }
    pub fn has_money(&self, any_of: &[&str]) -> bool {
        is(self.money.as_deref(), any_of)
    }
    pub fn has_parcel(&self, any_of: &[&str]) -> bool {
        is(self.parcel.as_deref(), any_of)
    }
    pub fn has_booking(&self, any_of: &[&str]) -> bool {
        is(self.booking.as_deref(), any_of)
    }
    pub fn is_terminal(&self) -> bool {
        self.has_status(&["delivered", "rejected", "cancelled", "refunded"])
    }

    /// A description for an operator.
    pub fn describe(&self) -> String {
        let or_none =
            |state: &Option<String>| state.clone().unwrap_or_else(|| "unknown".to_owned());
        format!(
            "orders {}, billing {} (held {}, captured {}, refunded {} of {}), warehouse {}, \
             delivery {}, told {}",
            or_none(&self.status),
            or_none(&self.money),
            self.held,
            self.captured,
            self.refunded,
            self.total.unwrap_or_default(),
            or_none(&self.parcel),
            or_none(&self.booking),
            self.notified.as_deref().unwrap_or("nothing"),
        )
    }
}

fn is(state: Option<&str>, any_of: &[&str]) -> bool {
    state.is_some_and(|state| any_of.contains(&state))
}

/// How to read a service's part of orders: a query whose first column is the order, and a function
/// that puts the other columns into it.
struct Part {
    service: &'static str,
    sql: &'static str,
    into: fn(&mut Order, &Row),
}

const PARTS: [Part; 5] = [
    Part {
        service: "orders",
        sql: "SELECT id, status, total, deadline FROM orders",
        into: |order, row| {
            (order.status, order.total, order.deadline) = (row.get(1), row.get(2), row.get(3));
        },
    },
    Part {
        service: "billing",
        sql: "SELECT order_id, state, coalesce(held, 0), coalesce(captured, 0),
              coalesce(refunded, 0)
              FROM holds FULL JOIN (
                SELECT order_id, (sum(p.amount) FILTER (WHERE account = 'user_held'))::bigint held,
                  (sum(p.amount) FILTER (WHERE account = 'shop_revenue' AND kind =
                  'capture'))::bigint captured,
                  (-sum(p.amount) FILTER (WHERE account = 'shop_revenue' AND kind =
                  'refund'))::bigint refunded
                FROM entry_sets s JOIN postings p ON p.entry_set_id = s.id
                WHERE order_id IS NOT NULL GROUP BY order_id) ledger USING (order_id)",
        into: |order, row| {
            (order.money, order.held) = (row.get(1), row.get(2));
            (order.captured, order.refunded) = (row.get(3), row.get(4));
        },
    },
    Part {
        service: "warehouse",
        sql: "SELECT order_id, state FROM parcels",
        into: |order, row| order.parcel = row.get(1),
    },
    Part {
        service: "delivery",
        sql: "SELECT order_id, state FROM bookings",
        into: |order, row| order.booking = row.get(1),
    },
    Part {
        service: "notifications",
        sql: "SELECT order_id, min(kind) FROM notifications
              WHERE kind IN ('delivered', 'rejected', 'cancelled', 'refunded') GROUP BY order_id",
        into: |order, row| order.notified = row.get(1),
    },
];

/// A service's part of every order.
pub struct Parts {
    into: fn(&mut Order, &Row),
    rows: Vec<Row>,
}

impl Parts {
    pub async fn read(
        service: &str,
        instant: &Transaction<'_>,
    ) -> Result<Option<Self>, tokio_postgres::Error> {
        let Some(part) = PARTS.iter().find(|part| part.service == service) else {
            return Ok(None);
        };
        let rows = instant.query(part.sql, &[]).await?;
        Ok(Some(Self {
            into: part.into,
            rows,
        }))
    }

    pub fn put_into(&self, orders: &mut Orders) {
        for row in &self.rows {
            (self.into)(orders.entry(row.get(0)).or_default(), row);
        }
    }
}
