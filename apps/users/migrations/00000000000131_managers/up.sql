-- For the check that the store keeps a manager when a role is taken away or a manager leaves.
CREATE INDEX users_managers ON users (id) WHERE role = 'manager';
