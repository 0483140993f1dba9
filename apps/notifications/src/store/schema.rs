//! The tables as the migrations leave them.

diesel::table! {
    notifications (id) {
        id -> Uuid,
        user_id -> Uuid,
        kind -> Text,
        order_id -> Nullable<Uuid>,
        text -> Text,
        at -> Timestamptz,
    }
}
