DROP TABLE token_keys;
DROP TABLE users;
