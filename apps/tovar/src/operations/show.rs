use std::io::{self, ErrorKind, Write};

use chrono::{DateTime, Utc};
use serde::Serialize;

/// Rows of cells under their titles, each column as wide as its widest cell.
pub fn table_text(titles: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells
            .chain([titles[column].chars().count()])
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        padded.join("  ").trim_end().to_owned() + "\n"
    };
    let rows = rows
        .iter()
        .map(|row| line(row.iter().map(String::as_str).collect()));
    std::iter::once(line(titles.to_vec())).chain(rows).collect()
}

/// A key or another name for a cell of a table; it is seldom longer than a UUID.
pub fn short(text: &str) -> String {
    kernel::shown(text.as_bytes(), 64)
}

/// A reason, which may quote texts from outside.
pub fn long(text: &str) -> String {
    kernel::shown(text.as_bytes(), 300)
}

/// A time to the second, which is enough for people.
pub fn time(at: DateTime<Utc>) -> String {
    at.format("%F %T").to_string()
}

pub fn time_or_dash(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "-".to_owned(), time)
}

/// Prints `found` as JSON, or as the text that `text` makes of it.
pub fn print<T: Serialize>(
    json: bool,
    found: &T,
    text: impl FnOnce(&T) -> String,
) -> anyhow::Result<()> {
    let text = if json {
        serde_json::to_string_pretty(found)? + "\n"
    } else {
        text(found)
    };
    Ok(write(&mut io::stdout(), &text)?)
}

/// Writes a text. A reader such as `head` may close the pipe early, which is no error.
fn write(out: &mut impl Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A writer that takes so many bytes, and then fails with this error.
    struct Full(usize, ErrorKind);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(self.1.into());
            }
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            Ok(taken)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_has_read_enough_makes_no_failure_and_a_full_disk_does() {
        assert!(write(&mut Full(3, ErrorKind::BrokenPipe), "a long text").is_ok());
        assert!(write(&mut Full(3, ErrorKind::StorageFull), "a long text").is_err());
    }
}
