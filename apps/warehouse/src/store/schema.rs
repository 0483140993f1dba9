//! The tables as the migrations leave them.

diesel::table! {
    goods (sku) {
        sku -> Text,
        name -> Text,
        price -> BigInt,
        on_hand -> BigInt,
        reserved -> BigInt,
        listed_at -> Timestamptz,
        version -> BigInt,
    }
}

diesel::table! {
    movements (id) {
        id -> Uuid,
        sku -> Text,
        kind -> Text,
        quantity -> BigInt,
        order_id -> Nullable<Uuid>,
        at -> Timestamptz,
    }
}

diesel::table! {
    parcels (order_id) {
        order_id -> Uuid,
        user_id -> Uuid,
        state -> Text,
        changed_at -> Timestamptz,
    }
}

diesel::table! {
    parcel_lines (order_id, sku) {
        order_id -> Uuid,
        sku -> Text,
        quantity -> BigInt,
    }
}
