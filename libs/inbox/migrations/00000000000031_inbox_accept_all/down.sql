DROP FUNCTION inbox_accept_all;
