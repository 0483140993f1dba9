DROP TABLE first_passwords;
