use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// A name that a person gives: the text without blanks around it. `None` if it does not fit into
/// one line, shows nothing, or has more than `max_chars` characters. The text itself is not
/// normalized, because programs do not compare labels.
pub fn label(text: &str, max_chars: usize) -> Option<&str> {
    let label = text.trim();
    let fits = label.chars().count() <= max_chars && label.chars().all(is_of_one_line);
    (fits && label.chars().any(shows)).then_some(label)
}

fn is_of_one_line(c: char) -> bool {
    use GeneralCategory::{Control, LineSeparator, ParagraphSeparator};
    !matches!(
        c.general_category(),
        Control | LineSeparator | ParagraphSeparator
    )
}

/// Whether a character is visible on its own. Blanks, combining marks and format characters are
/// not.
fn shows(c: char) -> bool {
    use GeneralCategoryGroup::{Letter, Number, Punctuation, Symbol};
    matches!(
        c.general_category_group(),
        Letter | Number | Punctuation | Symbol
    ) && !FILLERS.contains(&c)
}

/// Letters and signs by their category that are drawn as blanks: of Hangul and of Braille.
const FILLERS: [char; 5] = ['\u{115f}', '\u{1160}', '\u{3164}', '\u{ffa0}', '\u{2800}'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_what_was_written_without_blanks_around_it() {
        for text in [
            "Ada",
            "李小龍",
            "\u{202b}שלום",
            "👩\u{200d}👧",
            "e\u{301}",
            "-",
            "٣",
        ] {
            assert_eq!(label(&format!(" {text}\u{3000}"), 10), Some(text));
        }
        assert_eq!(label(&"x".repeat(11), 10), None);
    }

    #[test]
    fn what_shows_nothing_is_no_label() {
        for text in [
            "",
            " \u{a0}",
            "\u{200b}",
            "\u{301}\u{302}",
            "\u{202e}\u{202c}",
            "\u{feff}",
            "\u{ad}",
            "\u{2060}\u{200d}",
            "\u{fe0f}",
            "\u{e0041}",
            "\u{3164}",
            "\u{2800}",
        ] {
            assert_eq!(label(text, 10), None, "{text:?}");
        }
    }

    #[test]
    fn a_label_is_one_line() {
        for text in ["a\nb", "a\u{7}b", "a\u{85}b", "a\u{2028}b", "a\u{2029}b"] {
            assert_eq!(label(text, 10), None, "{text:?}");
        }
    }
}
