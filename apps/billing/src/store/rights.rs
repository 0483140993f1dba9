use db::Rights;

/// What each role may do with the tables of migrations/.
pub const RIGHTS: [Rights; 4] = [
    Rights::of_table("accounts")
        .service("SELECT, INSERT, UPDATE")
        .reader("SELECT (user_id, available, held)"),
    // Rows are added to the ledger, and never changed.
    Rights::of_table("entry_sets")
        .service("SELECT, INSERT")
        .reader("SELECT"),
    Rights::of_table("postings")
        .service("SELECT, INSERT")
        .reader("SELECT"),
    Rights::of_table("holds")
        .service("SELECT, INSERT, UPDATE")
        .reader("SELECT"),
];
