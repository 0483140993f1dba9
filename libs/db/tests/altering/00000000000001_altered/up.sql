CREATE TABLE begun (n integer);
ALTER TABLE numbers ADD COLUMN note text;
