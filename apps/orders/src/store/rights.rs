use db::Rights;

/// What each role may do with the tables of migrations/.
pub const RIGHTS: [Rights; 4] = [
    Rights::of_table("orders")
        .service("SELECT, INSERT, UPDATE")
        .reader(
            "SELECT (id, user_id, idempotency_key, currency, total, status, outcome_reason, \
             deadline, placed_at, attention)",
        ),
    Rights::of_table("order_lines").service("SELECT, INSERT"),
    // Facts are only ever added.
    Rights::of_table("order_facts")
        .service("SELECT, INSERT")
        .reader("SELECT"),
    Rights::of_table("goods").service("SELECT, INSERT, UPDATE"),
];
