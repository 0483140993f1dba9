DROP TABLE token_key_cache;
