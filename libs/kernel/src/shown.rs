use std::fmt::Write;

/// Untrusted bytes as readable text: on one line, with an escape for each byte that is not
/// printable. A text of more than `max_chars` characters is cut, and the number of bytes is added.
///
/// The result can be stored as text, logged and printed, whatever the bytes are.
pub fn shown(bytes: &[u8], max_chars: usize) -> String {
    let mut text = String::new();
    let mut count = 0;
    let mut escaped = String::new();
    for chunk in bytes.utf8_chunks() {
        let printable = chunk.valid().chars().map(Ok);
        for part in printable.chain(chunk.invalid().iter().map(Err)) {
            escaped.clear();
            // Writing to a string cannot fail.
            let _ = match part {
                Ok(c) if is_printable(c) => write!(escaped, "{c}"),
                Ok(c) if c.is_ascii() => write!(escaped, "\\x{:02x}", u32::from(c)),
                Ok(c) => write!(escaped, "\\u{{{:x}}}", u32::from(c)),
                Err(byte) => write!(escaped, "\\x{byte:02x}"),
            };
            count += escaped.chars().count();
            if count > max_chars {
                let _ = write!(text, "… ({} bytes)", bytes.len());
                return text;
            }
            text.push_str(&escaped);
        }
    }
    text
}

/// Whether it shows something, and does not move the cursor or change the direction of writing.
fn is_printable(c: char) -> bool {
    // Debug escapes the others, and also quotes and backslashes, which are printable.
    c == ' ' || c == '\'' || c == '"' || c == '\\' || c.escape_debug().count() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_printed_stays_and_all_else_is_escaped() {
        for (bytes, wanted) in [
            (
                &b"0197a1b2-0000-7000-8000-000000000001"[..],
                "0197a1b2-0000-7000-8000-000000000001",
            ),
            (b"", ""),
            (b"a\0b", r"a\x00b"),
            (b"\x1b[2J\r\n", r"\x1b[2J\x0d\x0a"),
            (b"\xff\xfea", r"\xff\xfea"),
            (b"\xf0\x9f\x92", r"\xf0\x9f\x92"),
            ("żółw \"'\\".as_bytes(), "żółw \"'\\"),
            ("\u{202e}\u{200b}".as_bytes(), r"\u{202e}\u{200b}"),
        ] {
            assert_eq!(shown(bytes, 100), wanted);
        }
    }

    #[test]
    fn what_is_long_is_shortened_and_says_how_long_it_is() {
        assert_eq!(shown(&[b'k'; 5000], 3), "kkk… (5000 bytes)");
        assert_eq!(shown(&[b'k'; 3], 3), "kkk");
        // An escape is whole or not there.
        assert_eq!(shown(b"a\0b", 4), "a… (3 bytes)");
        assert!(shown(&vec![0; 1 << 20], 100).len() < 130);
    }
}
