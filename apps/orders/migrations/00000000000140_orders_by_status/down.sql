DROP INDEX orders_of_status_idx;
