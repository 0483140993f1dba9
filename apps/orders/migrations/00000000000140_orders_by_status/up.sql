-- A user's orders of one status are found without a look at their others.
CREATE INDEX orders_of_status_idx ON orders (user_id, status, id);
