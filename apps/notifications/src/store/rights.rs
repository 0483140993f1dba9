use db::Rights;

/// What each role may do with the tables of migrations/.
pub const RIGHTS: [Rights; 1] = [
    // What was told is never taken back. The reader sees of what it was, and not the words.
    Rights::of_table("notifications")
        .service("SELECT, INSERT")
        .reader("SELECT (user_id, kind, order_id, at)"),
];
