use uuid::Uuid;

use super::{
    Orders,
    breaks::{Break, add, customer_of, id, of_order, park, revenue, set, without},
};
use crate::harness::{Catalogue, Store};

/// Violations that show inside one database.
#[expect(clippy::too_many_lines, reason = "a table of violations")]
pub async fn of_each_database(store: &Store, catalogue: &Catalogue, orders: &Orders) -> Vec<Break> {
    let Orders {
        delivered,
        refunded,
        ..
    } = orders;
    let customer = customer_of(store, delivered).await;
    let capture = id(store, "billing", "entry_sets", "capture", delivered).await;
    let refund = id(store, "billing", "entry_sets", "refund", refunded).await;
    let unbalanced = (
        1,
        "an entry set that does not sum to zero",
        capture.as_str(),
    );
    let refunded = (
        6,
        "an order with a refund beyond its capture",
        refunded.as_str(),
    );
    let reserved = (
        2,
        "goods whose reserved pieces are not those of active reservations",
        "tea",
    );
    let on_hand = (
        2,
        "goods whose pieces on hand are not those of their movements",
        "tea",
    );
    let told = (
        3,
        "an order whose status is not the end that was told",
        delivered.as_str(),
    );
    let tea = ("warehouse", "goods", "sku = 'tea'");
    let slot = &catalogue.slot;
    let [copy, empty, twice] = [(); 3].map(|()| Uuid::now_v7().to_string());
    let balances = (
        1,
        "an account whose balances are not the sums of its entries",
        customer.as_str(),
    );
    let account = format!("user_id = '{customer}'");
    vec![
        set(
            (1, "a ledger that does not sum to zero", "ledger"),
            ("billing", "postings", &revenue(&capture)),
            "amount",
            ("amount + 1", "amount - 1"),
        ),
        set(
            balances,
            ("billing", "accounts", &account),
            "available",
            ("available + 1", "available - 1"),
        ),
        add(
            (1, "an entry set without postings", &empty),
            "billing",
            format!("INSERT INTO entry_sets VALUES ('{empty}', '{customer}', 'top_up', 5)"),
            ("entry_sets", &format!("id = '{empty}'")),
        ),
        add(
            (
                3,
                "an order with two ends: delivered, and closed by a verdict",
                delivered,
            ),
            "orders",
            format!("INSERT INTO order_facts VALUES ('{delivered}', 'closed', '{{}}', now(), 99)"),
            ("order_facts", "number = 99"),
        ),
        set(
            (7, "a slot whose count is not that of its bookings", slot),
            ("delivery", "slots", &format!("id = '{slot}'")),
            "booked",
            ("booked + 1", "booked - 1"),
        ),
        add(
            (8, "an event that was applied and is also parked", &twice),
            "delivery",
            format!(
                "INSERT INTO inbox VALUES ('delivery', '{twice}', 'warehouse.shipped.v1'); \
                {}",
                park(&twice, delivered)
            ),
            (
                "inbox_parked USING inbox",
                &format!(
                    "inbox.event_id = inbox_parked.event_id; DELETE \
                FROM inbox WHERE event_id = '{twice}'"
                ),
            ),
        ),
        set(
            unbalanced,
            ("billing", "postings", &revenue(&capture)),
            "amount",
            ("amount + 1", "amount - 1"),
        ),
        set(
            refunded,
            ("billing", "postings", &revenue(&refund)),
            "amount",
            ("amount - 1", "amount + 1"),
        ),
        set(reserved, tea, "reserved", ("reserved + 1", "reserved - 1")),
        set(on_hand, tea, "on_hand", ("on_hand + 1", "on_hand - 1")),
        set(
            told,
            ("orders", "orders", &format!("id = '{delivered}'")),
            "status",
            ("'paid'", "'delivered'"),
        ),
        add(
            (7, "a slot with more bookings than places", slot),
            "delivery",
            format!(
                "INSERT INTO bookings SELECT gen_random_uuid(), gen_random_uuid(), 'booked', zone, \
                 id, 'locker'
                 FROM slots, generate_series(1, 5) WHERE id = '{slot}'"
            ),
            (
                "bookings",
                &format!("slot_id = '{slot}' AND state = 'booked'"),
            ),
        ),
        add(
            (
                3,
                "an order under a key that an earlier order of its caller has",
                &copy,
            ),
            "orders",
            format!(
                "INSERT INTO orders (id, user_id, idempotency_key, zone, slot_id, currency, total, \
                 status, placed_at)
                 SELECT '{copy}', user_id, idempotency_key, zone, slot_id, currency, total, \
                 status, placed_at + interval '1 hour'
                 FROM orders WHERE id = '{delivered}'"
            ),
            ("orders", &format!("id = '{copy}'")),
        ),
    ]
}

/// Violations that the databases' own constraints forbid, in databases that have lost them.
pub async fn against_constraints(store: &Store, orders: &Orders) -> Vec<Break> {
    let delivered = orders.delivered.as_str();
    let customer = customer_of(store, delivered).await;
    let account = format!("user_id = '{customer}'");
    let capture = id(store, "billing", "entry_sets", "capture", delivered).await;
    let copy = Uuid::now_v7().to_string();
    let copied = format!("id = '{copy}'");
    vec![
        without(
            (
                "ALTER TABLE accounts DROP CONSTRAINT accounts_held_check",
                "ALTER TABLE accounts ADD CHECK (held >= 0)",
            ),
            set(
                (2, "an account with a negative balance", &customer),
                ("billing", "accounts", &account),
                "held",
                ("-1", "0"),
            ),
        ),
        without(
            (
                "ALTER TABLE goods DROP CONSTRAINT goods_check",
                "ALTER TABLE goods ADD CHECK (0 <= reserved AND reserved <= on_hand)",
            ),
            set(
                (
                    2,
                    "goods with a negative stock, or more reserved than on hand",
                    "tea",
                ),
                ("warehouse", "goods", "sku = 'tea'"),
                "reserved",
                ("on_hand + 1", "0"),
            ),
        ),
        without(
            (
                "DROP INDEX entry_sets_order_id_kind_idx",
                "CREATE UNIQUE INDEX ON entry_sets (order_id, kind) WHERE order_id IS NOT NULL",
            ),
            add(
                (6, "an order that was paid more than once", delivered),
                "billing",
                format!(
                    "INSERT INTO entry_sets SELECT '{copy}', user_id, kind, amount, order_id FROM \
                     entry_sets WHERE id = '{capture}'"
                ),
                ("entry_sets", &copied),
            ),
        ),
        without(
            (
                "DROP INDEX notifications_one_outcome",
                "CREATE UNIQUE INDEX notifications_one_outcome ON notifications (order_id)
                 WHERE kind IN ('delivered', 'rejected', 'cancelled', 'refunded')",
            ),
            add(
                (9, "an order whose end was told more than once", delivered),
                "notifications",
                format!(
                    "INSERT INTO notifications SELECT '{copy}', user_id, kind, order_id, text FROM \
                     notifications
                     WHERE kind = 'delivered' AND {}",
                    of_order(delivered)
                ),
                ("notifications", &copied),
            ),
        ),
    ]
}
