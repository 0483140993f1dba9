//! The tables as the migrations leave them.

diesel::table! {
    users (id) {
        id -> Uuid,
        email -> Text,
        name -> Text,
        password_hash -> Text,
        role -> Text,
        registered_at -> Timestamptz,
        version -> BigInt,
        email_prepared -> Nullable<Text>,
        status -> Text,
        token_generation -> BigInt,
    }
}

diesel::table! {
    first_passwords (password_hash) {
        password_hash -> Text,
    }
}

diesel::table! {
    sessions (id) {
        id -> Uuid,
        user_id -> Uuid,
        family_hash -> Bytea,
        refresh_hash -> Bytea,
        previous_hash -> Nullable<Bytea>,
        salt -> Nullable<Bytea>,
        created_at -> Timestamptz,
        authenticated_at -> Timestamptz,
        used_at -> Timestamptz,
        expires_at -> Timestamptz,
        network -> Nullable<Text>,
        user_agent -> Nullable<Text>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(users, sessions);

diesel::table! {
    token_keys (kid) {
        kid -> Text,
        private -> Bytea,
        public -> Bytea,
        created_at -> Timestamptz,
        sealed -> Nullable<Bytea>,
        signs -> Bool,
    }
}
