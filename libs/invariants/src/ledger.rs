use crate::check::Check;

pub const CHECKS: &[Check] = &[
    Check {
        service: "billing",
        what: "an entry set that does not sum to zero",
        sql: "SELECT entry_set_id::text, 'sums to ' || sum(amount)
              FROM postings GROUP BY entry_set_id HAVING sum(amount) <> 0",
    },
    Check {
        service: "billing",
        what: "an entry set without postings",
        sql: "SELECT id::text, kind || ' of ' || amount
              FROM entry_sets s
              WHERE NOT EXISTS (SELECT FROM postings p WHERE p.entry_set_id = s.id)",
    },
    Check {
        service: "billing",
        what: "a ledger that does not sum to zero",
        sql: "SELECT 'ledger', 'sums to ' || sum(amount) FROM postings HAVING sum(amount) <> 0",
    },
    Check {
        service: "billing",
        what: "an account whose balances are not the sums of its entries",
        sql: "SELECT user_id::text, format('available %s, entries %s; held %s, entries %s',
                a.available, coalesce(l.available, 0), a.held, coalesce(l.held, 0))
              FROM accounts a LEFT JOIN (
                SELECT user_id, sum(p.amount) FILTER (WHERE account = 'user_available') available,
                  sum(p.amount) FILTER (WHERE account = 'user_held') held
                FROM entry_sets s JOIN postings p ON p.entry_set_id = s.id
                GROUP BY user_id) l USING (user_id)
              WHERE a.available <> coalesce(l.available, 0) OR a.held <> coalesce(l.held, 0)",
    },
];
