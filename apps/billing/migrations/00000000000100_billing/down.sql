DROP TABLE holds, postings, entry_sets, accounts;
