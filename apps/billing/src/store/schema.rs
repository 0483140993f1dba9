//! The tables as the migrations leave them.

diesel::table! {
    accounts (user_id) {
        user_id -> Uuid,
        status -> Text,
        available -> BigInt,
        held -> BigInt,
        opened_at -> Timestamptz,
    }
}

diesel::table! {
    entry_sets (id) {
        id -> Uuid,
        user_id -> Uuid,
        kind -> Text,
        amount -> BigInt,
        order_id -> Nullable<Uuid>,
        at -> Timestamptz,
    }
}

diesel::table! {
    postings (entry_set_id, account) {
        entry_set_id -> Uuid,
        account -> Text,
        amount -> BigInt,
    }
}

diesel::table! {
    holds (order_id) {
        order_id -> Uuid,
        user_id -> Uuid,
        state -> Text,
        amount -> BigInt,
        changed_at -> Timestamptz,
    }
}
