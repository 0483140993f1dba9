DROP TABLE void_tokens;
