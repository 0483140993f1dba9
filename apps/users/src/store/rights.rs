use db::Rights;

/// The rights of each database role on the tables of migrations/.
/// No role but the service sees keys, hashes of passwords, addresses or names.
pub const RIGHTS: [Rights; 6] = [
    Rights::of_table("users")
        .service("SELECT, INSERT, UPDATE, DELETE")
        .reader("SELECT (id, role, registered_at)"),
    Rights::of_table("token_keys").service("SELECT, INSERT, UPDATE, DELETE"),
    // Operators act as the owner; no other role writes this table.
    Rights::of_table("token_key_operations"),
    // Without UPDATE replicas could not lock it against each other.
    Rights::of_table("first_passwords").service("SELECT, INSERT, UPDATE"),
    Rights::of_table("sessions").service("SELECT, INSERT, UPDATE, DELETE"),
    Rights::of_table("login_failures").service("SELECT, INSERT, UPDATE, DELETE"),
];
