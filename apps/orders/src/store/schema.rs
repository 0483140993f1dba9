//! The tables as the migrations leave them.

diesel::table! {
    orders (id) {
        id -> Uuid,
        user_id -> Uuid,
        idempotency_key -> Text,
        zone -> Text,
        slot_id -> Uuid,
        currency -> Text,
        total -> BigInt,
        status -> Text,
        outcome_reason -> Nullable<Text>,
        deadline -> Nullable<Timestamptz>,
        attention -> Nullable<Text>,
        placed_at -> Timestamptz,
    }
}

diesel::table! {
    order_lines (order_id, sku) {
        order_id -> Uuid,
        sku -> Text,
        quantity -> BigInt,
        unit_price -> BigInt,
    }
}

diesel::table! {
    order_facts (order_id, kind) {
        order_id -> Uuid,
        kind -> Text,
        fact -> Jsonb,
        at -> Timestamptz,
        number -> Integer,
    }
}

diesel::table! {
    goods (sku) {
        sku -> Text,
        name -> Text,
        price -> BigInt,
    }
}
