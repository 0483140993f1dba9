-- Orders under way are counted every second; those that are over are many more.
CREATE INDEX orders_open_idx ON orders (status, placed_at) WHERE deadline IS NOT NULL;
