use std::collections::BTreeSet;

use crate::{files, none, read, root};

/// The targets of a page's links.
fn links(page: &str) -> Vec<&str> {
    page.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .collect()
}

/// The anchors of a page's headings, as they are made of them on the web.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|heading| {
            let text = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = text
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn every_link_of_a_page_leads_somewhere() {
    let mut faults = Vec::new();
    for page in files("", &[".md"]) {
        let text = read(&page);
        let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
        for link in links(&text) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                page.clone()
            } else {
                format!("{folder}/{file}")
            };
            let target = root().join(target.trim_start_matches('/'));
            let Ok(target) = target.canonicalize() else {
                faults.push(format!("{page}: {link} is not there"));
                continue;
            };
            let is_page = target.extension().is_some_and(|ending| ending == "md");
            let read = || read(target.strip_prefix(root()).unwrap().to_str().unwrap());
            if !anchor.is_empty() && is_page && !anchors(&read()).contains(anchor) {
                faults.push(format!("{page}: {link} has no such heading"));
            }
        }
    }
    none("links that lead nowhere", &faults);
}

/// Folders at the root by which a page names a file or folder of ours.
const FOLDERS: [&str; 9] = [
    ".ci",
    "apps",
    "compose",
    "grafana",
    "helm",
    "libs",
    "load",
    "outbox-relay",
    "tests",
];

#[test]
fn every_file_that_a_page_names_is_there() {
    let mut faults = Vec::new();
    let mut named = 0;
    for page in files("", &[".md"]) {
        for quoted in read(&page).split('`').skip(1).step_by(2) {
            let is_path = quoted.split('/').count() > 1
                && FOLDERS.contains(&quoted.split('/').next().unwrap())
                && quoted
                    .chars()
                    .all(|c| c.is_alphanumeric() || "/._-".contains(c));
            if !is_path {
                continue;
            }
            named += 1;
            if !root().join(quoted).exists() {
                faults.push(format!("{page}: {quoted}"));
            }
        }
    }
    assert!(named > 100, "{named}");
    none("files that are not there", &faults);
}
