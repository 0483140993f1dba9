-- Who takes a role away, or leaves, looks whether a manager stays.
CREATE INDEX users_managers ON users (id) WHERE role = 'manager';
