DROP TABLE goods, order_facts, order_lines, orders;
