DROP TABLE notes, other;
