//! The commonest passwords, which an attacker tries first (NIST SP 800-63B, 3.1.1.2).
//!
//! The list holds the passwords of at least eight characters among the 20 000 commonest leaked
//! ones, by the counts of Have I Been Pwned as Royce Williams published them and Django 5.2 uses
//! them. They are in lower case and sorted.

use std::{collections::HashSet, sync::LazyLock};

static LIST: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("common_passwords.txt").lines().collect());

/// Words of this store, which its people are likely to choose. They are refused with any digits and
/// signs, too.
const OF_THE_STORE: [&str; 8] = [
    "tovar",
    "tovarshop",
    "tovarstore",
    "customer",
    "courier",
    "manager",
    "operator",
    "warehouse",
];

/// Whether a password is one of the commonest, in any case, or a word of this store with digits and
/// signs.
pub fn is_common(password: &str) -> bool {
    let password = password.to_lowercase();
    let letters: String = password.chars().filter(|c| c.is_alphabetic()).collect();
    LIST.contains(password.as_str()) || OF_THE_STORE.contains(&letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_and_holds_what_could_be_a_password() {
        let lines: Vec<&str> = include_str!("common_passwords.txt").lines().collect();
        assert!(lines.len() > 5_000, "{}", lines.len());
        assert!(lines.is_sorted());
        for line in lines {
            let length = line.chars().count();
            assert!((8..=128).contains(&length), "{line:?}");
            assert_eq!(line, line.to_lowercase());
        }
    }

    #[test]
    fn the_commonest_are_found_in_every_case_and_others_are_not() {
        for common in [
            "password",
            "12345678",
            "Password1",
            "QWERTYUIOP",
            "iloveyou",
        ] {
            assert!(is_common(common), "{common}");
        }
        for of_the_store in ["tovar2026", "Manager1", "--Courier--", "12345Tovar!"] {
            assert!(is_common(of_the_store), "{of_the_store}");
        }
        for rare in [
            "correct horse battery",
            "passwordpassword!?",
            "a manager of tovar",
            "",
        ] {
            assert!(!is_common(rare), "{rare}");
        }
    }
}
