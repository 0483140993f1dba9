use db::Rights;

/// What each role may do with the tables of migrations/.
pub const RIGHTS: [Rights; 1] = [
    // Notifications are added, and never changed. The reader role does not see their text.
    Rights::of_table("notifications")
        .service("SELECT, INSERT")
        .reader("SELECT (user_id, kind, order_id, at)"),
];
