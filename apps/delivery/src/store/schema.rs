//! The tables as the migrations leave them.

diesel::table! {
    zones (zone) {
        zone -> Text,
        handover -> Text,
    }
}

diesel::table! {
    slots (id) {
        id -> Uuid,
        zone -> Text,
        starts_at -> Timestamptz,
        ends_at -> Timestamptz,
        capacity -> BigInt,
        booked -> BigInt,
    }
}

diesel::table! {
    bookings (order_id) {
        order_id -> Uuid,
        user_id -> Uuid,
        state -> Text,
        zone -> Nullable<Text>,
        slot_id -> Nullable<Uuid>,
        handover -> Nullable<Text>,
        changed_at -> Timestamptz,
        courier_id -> Nullable<Uuid>,
    }
}

diesel::joinable!(bookings -> slots (slot_id));
diesel::allow_tables_to_appear_in_same_query!(bookings, slots);
