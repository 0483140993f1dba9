use crate::{files, is_of, none, read};

/// Words of comments and pages that leave a sentence without a real subject, or that few readers
/// learn at school.
const UNPLAIN: [&str; 8] = [
    "whoever", "nobody", "somebody", "nor", "heed", "mend", "mends", "for ever",
];

/// Identifiers that meant something in this house alone; the glossary has the words in their place.
const DIALECT: [&str; 84] = [
    "ActArgs",
    "Afterwards",
    "Boot",
    "ByArgs",
    "CHECK_REST",
    "Carrier",
    "Erased",
    "Fate",
    "GIVEN_BACK",
    "Gathered",
    "GoesOn",
    "Ground",
    "HEAD_WITHIN",
    "Hand",
    "Hands",
    "LARGEST_BUFFER",
    "LONGEST_REST",
    "Learnt",
    "LookArgs",
    "Means",
    "Motion",
    "NO_PLACE",
    "NoPlace",
    "NotForThem",
    "OfRoles",
    "Offer",
    "PATIENCE",
    "PassedOver",
    "Portion",
    "Pulse",
    "PutAside",
    "REST_OF_LOOK",
    "REST_OF_SAVE",
    "SAFETY_NET",
    "STAND_BY",
    "Style",
    "TICK",
    "Tethered",
    "TheirOrder",
    "Together",
    "Turns",
    "UNHURRIED_REST",
    "Unhurried",
    "WHOLE_EVERY",
    "Ways",
    "Whose",
    "are_lost",
    "bury",
    "called_after_its_place",
    "cannot_be_read",
    "every_way",
    "go_on",
    "hand_over",
    "hands",
    "impatient_transaction",
    "is_unhurried",
    "jumped_from",
    "look_behind",
    "look_every",
    "looked_in_vain",
    "lost_the_lead",
    "most_of_one",
    "no_place",
    "note_progress",
    "pause_after",
    "quiet",
    "refused_again",
    "see_to_parked",
    "somebody",
    "take_turns",
    "tell_user",
    "tether",
    "together",
    "told_by",
    "turn_away",
    "unhurried",
    "unhurried_rest",
    "was_put_aside",
    "way",
    "went_on",
    "where_to_begin",
    "whose",
    "wish",
    "work_off",
];

/// The words of a line, with `_` as a letter.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
}

fn unplain(line: &str) -> Option<&'static str> {
    let line = line.to_lowercase();
    UNPLAIN.into_iter().find(|unplain| {
        let mut from = 0;
        while let Some(at) = line[from..].find(unplain).map(|at| from + at) {
            let end = at + unplain.len();
            let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            if !is_part(line[..at].chars().next_back()) && !is_part(line[end..].chars().next()) {
                return true;
            }
            from = end;
        }
        false
    })
}

#[test]
fn comments_are_in_plain_english() {
    let mut faults = Vec::new();
    for file in files("", &[".rs", ".sql"]) {
        if file == "tests/house/words.rs" {
            continue;
        }
        for (number, line) in read(&file).lines().enumerate() {
            let mark = if is_of(&file, "sql") { "--" } else { "//" };
            let comment = line.split_once(mark).map_or("", |(_, comment)| comment);
            if let Some(word) = unplain(comment) {
                faults.push(format!("{file}:{}: {word}", number + 1));
            }
        }
    }
    none("say it in plain English", &faults);
}

/// Pages that programs write; their words are those of the code.
const WRITTEN_BY_PROGRAMS: [&str; 3] = ["docs/metrics.md", "docs/mutations.md", "docs/rights.md"];

/// The lines of a page with their numbers, without what it quotes from programs: blocks and spans
/// of code. A span may go over the end of a line, but not over that of a paragraph.
fn prose(page: &str) -> impl Iterator<Item = (usize, String)> {
    let (mut in_block, mut in_span) = (false, false);
    page.lines().enumerate().filter_map(move |(number, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_block ^= is_fence;
        in_span &= !line.trim().is_empty();
        if is_fence || in_block {
            return None;
        }
        let mut outside = String::new();
        for c in line.chars() {
            in_span ^= c == '`';
            outside.push(if in_span { ' ' } else { c });
        }
        Some((number + 1, outside))
    })
}

#[test]
fn pages_are_in_plain_english() {
    let mut pages = files("docs", &[".md"]);
    pages.push("README.md".to_owned());
    let mut faults = Vec::new();
    for page in pages {
        if WRITTEN_BY_PROGRAMS.contains(&page.as_str()) {
            continue;
        }
        for (number, line) in prose(&read(&page)) {
            if let Some(word) = unplain(&line) {
                faults.push(format!("{page}:{number}: {word}"));
            }
        }
    }
    none("say it in plain English", &faults);
}

#[test]
fn code_is_no_prose() {
    let page = "The user `nobody` runs it.\n```\nnobody took the parcel\n```\nNobody took it.";
    let found: Vec<usize> = prose(page)
        .filter_map(|(number, line)| unplain(&line).map(|_| number))
        .collect();
    assert_eq!(found, [5]);
}

#[test]
fn the_private_dialect_does_not_come_back() {
    let mut faults = Vec::new();
    for file in files("", &[".rs"]) {
        if file == "tests/house/words.rs" {
            continue;
        }
        let mut text_continues = false;
        for (number, line) in read(&file).lines().enumerate() {
            let code = line.split_once("//").map_or(line, |(code, _)| code);
            // What is between quotes is text, also what follows a line that ends in a backslash.
            let parts = code.split('"').skip(usize::from(text_continues));
            let code: String = parts.step_by(2).collect::<Vec<_>>().join(" ");
            text_continues = line.ends_with('\\');
            if let Some(word) = words(&code).find(|word| DIALECT.contains(word)) {
                faults.push(format!("{file}:{}: {word}", number + 1));
            }
        }
    }
    none("see docs/glossary.md for the word", &faults);
}

#[test]
fn words_are_found_whole() {
    assert_eq!(unplain("It is nobody's business."), Some("nobody"));
    assert_eq!(unplain("Nor is it"), Some("nor"));
    assert_eq!(unplain("kept for ever"), Some("for ever"));
    assert_eq!(unplain("a normal recommendation"), None);
}
