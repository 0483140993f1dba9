use crate::{files, is_of, none, read};

fn wider(files: Vec<String>, limit: usize, may: fn(&str) -> bool) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files {
        let mut in_code = false;
        for (number, line) in read(&file).lines().enumerate() {
            in_code ^= line.trim_start().starts_with("```");
            if line.chars().count() > limit && !may(line) && !(in_code && is_of(&file, "md")) {
                faults.push(format!("{file}:{}", number + 1));
            }
        }
    }
    faults
}

#[test]
fn code_and_its_comments_are_at_most_100_columns_wide() {
    let faults = wider(files("", &[".rs", ".sql"]), 100, |_| false);
    none("wider than 100 columns", &faults);
}

/// A table's row, an address and a block of code cannot be wrapped. Programs write the pages of the
/// charts.
#[test]
fn pages_are_at_most_120_columns_wide() {
    let mut pages = files("", &[".md"]);
    pages.retain(|page| !page.starts_with("helm/"));
    let faults = wider(pages, 120, |line| {
        line.starts_with('|') || !line.trim().contains(' ')
    });
    none("wider than 120 columns", &faults);
}
