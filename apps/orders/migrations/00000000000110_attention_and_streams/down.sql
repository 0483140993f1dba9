ALTER TABLE order_facts DROP COLUMN number;
DROP INDEX orders_late_idx;
CREATE INDEX ON orders (deadline) WHERE deadline IS NOT NULL;
ALTER TABLE orders DROP COLUMN attention;
