use crate::harness::Store;

/// A violation of an invariant, with the SQL that makes and repairs it.
#[derive(Clone)]
pub struct Break {
    pub invariant: u8,
    pub what: &'static str,
    pub id: String,
    pub service: &'static str,
    pub make: String,
    pub repair: String,
}

/// Sets a column to a value that it must not have.
pub fn set(
    (invariant, what, id): (u8, &'static str, &str),
    (service, table, row): (&'static str, &str, &str),
    column: &str,
    (to, back): (&str, &str),
) -> Break {
    let statement = |value: &str| format!("UPDATE {table} SET {column} = {value} WHERE {row}");
    Break {
        invariant,
        what,
        id: id.to_owned(),
        service,
        make: statement(to),
        repair: statement(back),
    }
}

/// A row that is gone.
pub fn lose(
    (invariant, what, id): (u8, &'static str, &str),
    service: &'static str,
    table: &str,
    row: &str,
) -> Break {
    Break {
        invariant,
        what,
        id: id.to_owned(),
        service,
        make: format!(
            "CREATE TABLE gone AS SELECT * FROM {table} WHERE {row}; DELETE FROM {table} WHERE \
             {row}"
        ),
        repair: format!("INSERT INTO {table} SELECT * FROM gone; DROP TABLE gone"),
    }
}

/// As the other violations, in a database that has lost a constraint.
pub fn without((lose, restore): (&str, &str), broken: Break) -> Break {
    Break {
        make: format!("{lose}; {}", broken.make),
        repair: format!("{}; {restore}", broken.repair),
        ..broken
    }
}

/// Adds a row that should not exist.
pub fn add(
    (invariant, what, id): (u8, &'static str, &str),
    service: &'static str,
    insert: String,
    (table, row): (&str, &str),
) -> Break {
    Break {
        invariant,
        what,
        id: id.to_owned(),
        service,
        make: insert,
        repair: format!("DELETE FROM {table} WHERE {row}"),
    }
}

pub fn of_order(order: &str) -> String {
    format!("order_id = '{order}'")
}

pub async fn id(store: &Store, service: &str, table: &str, kind: &str, order: &str) -> String {
    let query = format!(
        "SELECT id::text FROM {table} WHERE kind = '{kind}' AND {}",
        of_order(order)
    );
    store
        .sql(service)
        .await
        .query_one(&query, &[])
        .await
        .unwrap()
        .get(0)
}

/// A row of the ledger.
pub fn revenue(set: &str) -> String {
    format!("entry_set_id = '{set}' AND account = 'shop_revenue'")
}

pub async fn customer_of(store: &Store, order: &str) -> String {
    let query = format!("SELECT user_id::text FROM orders WHERE id = '{order}'");
    store
        .sql("orders")
        .await
        .query_one(&query, &[])
        .await
        .unwrap()
        .get(0)
}

/// Parks an event of an order.
pub fn park(event: &str, order: &str) -> String {
    format!(
        "INSERT INTO inbox_parked (consumer, event_id, topic, partition, \"offset\", key, type, \
         payload, code, reason)
         VALUES ('delivery', '{event}', 'warehouse', 0, 0, '{order}', 'warehouse.shipped.v1', '', \
         'a', 'b')"
    )
}
