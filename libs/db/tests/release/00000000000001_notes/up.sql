CREATE TABLE notes (at timestamptz NOT NULL);
CREATE TABLE other (n integer);
