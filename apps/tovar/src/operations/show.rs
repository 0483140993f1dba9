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

pub fn table(titles: &[&str], rows: &[Vec<String>]) {
    print!("{}", table_text(titles, rows));
}

/// To the second, which is enough for people.
pub fn time(at: DateTime<Utc>) -> String {
    at.format("%F %T").to_string()
}

pub fn time_or_dash(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "-".to_owned(), time)
}

/// JSON or, for people, what `text` prints.
pub fn print<T: Serialize>(json: bool, found: &T, text: impl FnOnce(&T)) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(found)?);
    } else {
        text(found);
    }
    Ok(())
}
