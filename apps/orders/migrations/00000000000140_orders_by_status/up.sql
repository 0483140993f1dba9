-- A user's orders of one status are found without reading their other orders.
CREATE INDEX orders_of_status_idx ON orders (user_id, status, id);
