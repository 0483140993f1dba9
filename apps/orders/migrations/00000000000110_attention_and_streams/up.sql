-- Why an operator must look at an order: its deadline has passed, and no stop would help.
ALTER TABLE orders ADD COLUMN attention text
  CHECK (attention IN ('stop_overdue', 'delivery_overdue', 'return_overdue', 'settlement_overdue'));
CREATE INDEX ON orders (id) WHERE attention IS NOT NULL;
DROP INDEX orders_deadline_idx;
CREATE INDEX orders_late_idx ON orders (deadline) WHERE deadline IS NOT NULL AND attention IS NULL;

-- Counts the facts of an order from 1, as they arrived. A stream that was cut off resumes by it.
ALTER TABLE order_facts ADD COLUMN number integer;
UPDATE order_facts SET number = learnt.number
FROM (SELECT order_id, kind, row_number() OVER (PARTITION BY order_id ORDER BY at, kind) AS number
      FROM order_facts) learnt
WHERE (order_facts.order_id, order_facts.kind) = (learnt.order_id, learnt.kind);
ALTER TABLE order_facts ALTER COLUMN number SET NOT NULL, ADD CHECK (number > 0);
