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
    }
}

diesel::table! {
    first_passwords (password_hash) {
        password_hash -> Text,
    }
}

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
