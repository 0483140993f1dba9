DROP INDEX users_managers;
