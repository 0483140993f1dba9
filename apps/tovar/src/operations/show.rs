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

/// A key or another name, which is seldom longer than a UUID, in a cell of a table.
pub fn short(text: &str) -> String {
    kernel::shown(text.as_bytes(), 64)
}

/// A reason, which may quote what others have written.
pub fn long(text: &str) -> String {
    kernel::shown(text.as_bytes(), 300)
}

/// To the second, which is enough for people.
pub fn time(at: DateTime<Utc>) -> String {
    at.format("%F %T").to_string()
}

pub fn time_or_dash(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "-".to_owned(), time)
}

/// Prints JSON or, for people, what `text` makes of it.
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

/// Whoever reads it, such as `head`, may have read enough: that is no failure.
fn write(out: &mut impl Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, and then fails in this way.
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
