use std::collections::BTreeSet;

use service_kit::Service;
use tovar::client::wait_for;
use uuid::Uuid;

use super::{Store, shop::WITHIN};

/// What must hold of every store at rest; each query names what contradicts it.
const CONTRADICTIONS: [(&str, &str, &str); 9] = [
    ("billing", "entry sets that do not sum to zero", "SELECT entry_set_id::text FROM postings GROUP BY 1 HAVING sum(amount) <> 0"),
    (
        "billing",
        "balances that are not the sum of their postings",
        "SELECT a.user_id::text FROM accounts a LEFT JOIN (
           SELECT user_id, sum(p.amount) FILTER (WHERE account = 'user_available') available,
             sum(p.amount) FILTER (WHERE account = 'user_held') held
           FROM entry_sets s JOIN postings p ON p.entry_set_id = s.id GROUP BY user_id) l USING (user_id)
         WHERE a.available <> coalesce(l.available, 0) OR a.held <> coalesce(l.held, 0)",
    ),
    ("billing", "orders whose money is still set aside", "SELECT order_id::text FROM holds WHERE state = 'held'"),
    (
        "warehouse",
        "reservations that are not those of active parcels",
        "SELECT g.sku FROM goods g LEFT JOIN (
           SELECT sku, sum(quantity) reserved FROM parcel_lines JOIN parcels USING (order_id)
           WHERE state = 'reserved' GROUP BY sku) r USING (sku) WHERE g.reserved <> coalesce(r.reserved, 0)",
    ),
    (
        "warehouse",
        "stock that is not the sum of its movements",
        "SELECT g.sku FROM goods g LEFT JOIN (SELECT sku, sum(quantity) moved FROM movements GROUP BY sku) m USING (sku)
         WHERE g.on_hand <> coalesce(m.moved, 0)",
    ),
    (
        "delivery",
        "slots whose places are not those of their bookings",
        "SELECT s.id::text FROM slots s LEFT JOIN (
           SELECT slot_id, count(*) places FROM bookings
           WHERE state IN ('booked', 'out_for_delivery', 'delivered', 'failed') GROUP BY slot_id) b ON b.slot_id = s.id
         WHERE s.booked <> coalesce(b.places, 0)",
    ),
    (
        "orders",
        "orders that are not at their end",
        "SELECT id::text FROM orders WHERE status NOT IN ('delivered', 'rejected', 'cancelled', 'refunded')",
    ),
    (
        "orders",
        "keys under which there are two orders",
        "SELECT idempotency_key FROM orders GROUP BY user_id, idempotency_key HAVING count(*) > 1",
    ),
    (
        "notifications",
        "orders whose end was told twice",
        "SELECT order_id::text FROM notifications WHERE kind IN ('delivered', 'rejected', 'cancelled', 'refunded')
         GROUP BY order_id HAVING count(*) > 1",
    ),
];

/// Waits until the store is at rest, and fails if it does not come to rest or contradicts itself.
pub async fn check(store: &Store) {
    for (service, what, sql) in CONTRADICTIONS {
        let client = store.sql(service).await;
        let hope = format!("{service} to have no {what}");
        let waited = wait_for(&hope, WITHIN, async || {
            let found: Vec<String> = client
                .query(sql, &[])
                .await?
                .iter()
                .map(|row| row.get(0))
                .collect();
            anyhow::ensure!(found.is_empty(), "{service} has {what}: {found:?}");
            Ok(true)
        });
        waited.await.unwrap();
    }
    consumed::<billing::Billing>(store).await;
    consumed::<orders::Orders>(store).await;
    consumed::<warehouse::Warehouse>(store).await;
    consumed::<delivery::Delivery>(store).await;
    consumed::<notifications::Notifications>(store).await;
}

/// Every event that was published was applied once by each service that listens to its type; none is parked.
async fn consumed<S: Service>(store: &Store) {
    let types = S::subscriptions().event_types();
    let inbox = store.sql(S::NAME).await;
    wait_for(&format!("{} to apply every event", S::NAME), WITHIN, async || {
        let mut published = BTreeSet::new();
        for service in store.databases.keys() {
            let outbox = store.sql(service).await;
            let rows = outbox
                .query("SELECT id FROM outbox WHERE type = ANY($1)", &[&types])
                .await?;
            published.extend(rows.iter().map(|row| row.get::<_, Uuid>(0)));
        }
        let rows = inbox.query("SELECT event_id FROM inbox", &[]).await?;
        let applied: BTreeSet<Uuid> = rows.iter().map(|row| row.get(0)).collect();
        let parked: i64 = inbox
            .query_one("SELECT count(*) FROM inbox_parked", &[])
            .await?
            .get(0);
        anyhow::ensure!(parked == 0, "{} parked {parked} events", S::NAME);
        let missing: Vec<_> = published.symmetric_difference(&applied).collect();
        anyhow::ensure!(
            missing.is_empty(),
            "{} differs in {} events",
            S::NAME,
            missing.len()
        );
        Ok(true)
    })
    .await
    .unwrap();
}
