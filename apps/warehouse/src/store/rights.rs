use db::Rights;

/// What each role may do with the tables of migrations/.
pub const RIGHTS: [Rights; 4] = [
    Rights::of_table("goods")
        .service("SELECT, INSERT, UPDATE")
        .reader("SELECT (sku, on_hand, reserved)"),
    // Movements are added, and never changed.
    Rights::of_table("movements")
        .service("SELECT, INSERT")
        .reader("SELECT (sku, quantity)"),
    Rights::of_table("parcels")
        .service("SELECT, INSERT, UPDATE")
        .reader("SELECT"),
    Rights::of_table("parcel_lines")
        .service("SELECT, INSERT")
        .reader("SELECT"),
];
