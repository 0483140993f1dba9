use db::Rights;

/// What each role may do with the tables of migrations/.
pub const RIGHTS: [Rights; 3] = [
    Rights::of_table("zones").service("SELECT, INSERT, UPDATE"),
    Rights::of_table("slots")
        .service("SELECT, INSERT, UPDATE")
        .reader("SELECT (id, ends_at, capacity, booked)"),
    Rights::of_table("bookings")
        .service("SELECT, INSERT, UPDATE")
        .reader("SELECT"),
];
