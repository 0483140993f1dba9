//! Which file of a crate imports which.

use std::collections::{BTreeMap, BTreeSet};

use syn::{Item, UseTree, Visibility, visit::Visit};

use crate::{files, none, read};

type Path = Vec<String>;

/// A file that is a module.
struct Module {
    file: String,
    children: BTreeSet<String>,
    /// The names that it re-exports, with their paths.
    passed_on: BTreeMap<String, Path>,
    /// The paths that it names, as written.
    named: Vec<Path>,
}

/// The modules of a crate, by their path.
struct Crate(BTreeMap<Path, Module>);

/// Collects every path that code names, without the tests in it.
struct Named(Vec<Path>);

impl<'a> Visit<'a> for Named {
    fn visit_path(&mut self, path: &'a syn::Path) {
        self.0.push(
            path.segments
                .iter()
                .map(|part| part.ident.to_string())
                .collect(),
        );
        syn::visit::visit_path(self, path);
    }
    fn visit_item_mod(&mut self, module: &'a syn::ItemMod) {
        if module.ident != "tests" {
            syn::visit::visit_item_mod(self, module);
        }
    }
    fn visit_item_use(&mut self, _: &'a syn::ItemUse) {}
    /// The `crate` of `pub(crate)` is no import.
    fn visit_visibility(&mut self, _: &'a Visibility) {}
}

/// The paths of a `use`, each with the name that it gets.
fn paths(tree: &UseTree, before: &Path) -> Vec<(Path, String)> {
    let with = |ident: &syn::Ident| {
        let mut path = before.clone();
        path.push(ident.to_string());
        path
    };
    match tree {
        UseTree::Path(path) => paths(&path.tree, &with(&path.ident)),
        UseTree::Name(name) if name.ident == "self" => {
            vec![(before.clone(), before.last().cloned().unwrap_or_default())]
        }
        UseTree::Name(name) => vec![(with(&name.ident), name.ident.to_string())],
        UseTree::Rename(rename) if rename.ident == "self" => {
            vec![(before.clone(), rename.rename.to_string())]
        }
        UseTree::Rename(rename) => vec![(with(&rename.ident), rename.rename.to_string())],
        UseTree::Glob(_) => vec![(before.clone(), "*".to_owned())],
        UseTree::Group(group) => group
            .items
            .iter()
            .flat_map(|tree| paths(tree, before))
            .collect(),
    }
}

impl Crate {
    /// `root` is its `lib.rs` or `main.rs`.
    fn read(root: &str) -> Self {
        let mut modules = BTreeMap::new();
        let mut to_read = vec![(Path::new(), root.to_owned())];
        while let Some((path, file)) = to_read.pop() {
            let parsed = syn::parse_file(&read(&file));
            let parsed = parsed.unwrap_or_else(|error| panic!("{file}: {error}"));
            let mut module = Module {
                file: file.clone(),
                children: BTreeSet::new(),
                passed_on: BTreeMap::new(),
                named: Vec::new(),
            };
            for item in &parsed.items {
                match item {
                    Item::Mod(child) if child.content.is_none() => {
                        let name = child.ident.to_string();
                        let (folder, own) = file.rsplit_once('/').unwrap();
                        let own = own.trim_end_matches(".rs");
                        let below = match own {
                            "lib" | "main" | "mod" => folder.to_owned(),
                            own => format!("{folder}/{own}"),
                        };
                        let candidates = [
                            format!("{below}/{name}.rs"),
                            format!("{below}/{name}/mod.rs"),
                        ];
                        let there = |file: &&String| crate::root().join(file).is_file();
                        if let Some(found) = candidates.iter().find(there) {
                            let child: Path = path.iter().chain([&name]).cloned().collect();
                            to_read.push((child, found.clone()));
                        }
                        module.children.insert(name);
                    }
                    Item::Use(import) => {
                        let is_passed_on = !matches!(import.vis, Visibility::Inherited);
                        for (from, name) in paths(&import.tree, &Path::new()) {
                            if is_passed_on {
                                module.passed_on.insert(name, from);
                            } else {
                                module.named.push(from);
                            }
                        }
                    }
                    _ => {}
                }
            }
            let mut named = Named(Vec::new());
            named.visit_file(&parsed);
            module.named.extend(named.0);
            modules.insert(path, module);
        }
        Self(modules)
    }

    /// A path as it is written in the module `at`, from the crate's root; `None` if it is of
    /// another crate.
    fn absolute(&self, at: &Path, written: &[String]) -> Option<Path> {
        let mut base = at.clone();
        let mut rest = written;
        match written.first()?.as_str() {
            "crate" => {
                base.clear();
                rest = &written[1..];
            }
            "self" => rest = &written[1..],
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    base.pop()?;
                    rest = &rest[1..];
                }
            }
            first => {
                let module = self.0.get(at)?;
                if !module.children.contains(first) {
                    return None;
                }
            }
        }
        base.extend(rest.iter().cloned());
        Some(base)
    }

    /// The file that defines what a path names.
    fn file(&self, path: &[String], depth: usize) -> Option<&str> {
        let mut at = Path::new();
        for (index, part) in path.iter().enumerate() {
            let module = self.0.get(&at)?;
            if module.children.contains(part) {
                at.push(part.clone());
                if !self.0.contains_key(&at) {
                    return None;
                }
                continue;
            }
            if depth > 8 {
                return None;
            }
            let onwards = |from: &Path| {
                let mut target = self.absolute(&at, from)?;
                target.extend(path[index + 1..].iter().cloned());
                self.file(&target, depth + 1)
            };
            if let Some(from) = module.passed_on.get(part) {
                return onwards(from);
            }
            return Some(&module.file);
        }
        self.0.get(&at).map(|module| module.file.as_str())
    }

    /// From each file to those that it imports.
    pub fn imports(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut imports: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (path, module) in &self.0 {
            let own = imports.entry(&module.file).or_default();
            for written in &module.named {
                let target = self
                    .absolute(path, written)
                    .and_then(|target| self.file(&target, 0));
                own.extend(target.filter(|target| *target != module.file));
            }
        }
        imports
    }
}

/// All crates of the workspace.
pub fn crates() -> Vec<String> {
    let roots = files("", &["lib.rs", "main.rs"]).into_iter();
    roots
        .filter(|file| file.ends_with("/src/lib.rs") || file.ends_with("/src/main.rs"))
        .collect()
}

pub fn imports_of(root: &str) -> BTreeMap<String, BTreeSet<String>> {
    let read = Crate::read(root);
    let own = |(file, targets): (&str, BTreeSet<&str>)| {
        (
            file.to_owned(),
            targets.into_iter().map(ToOwned::to_owned).collect(),
        )
    };
    read.imports().into_iter().map(own).collect()
}

/// Adds every file that `from` imports, directly or through others.
fn reach<'a>(
    imports: &'a BTreeMap<String, BTreeSet<String>>,
    from: &'a str,
    seen: &mut BTreeSet<&'a str>,
) {
    for target in imports.get(from).into_iter().flatten() {
        if seen.insert(target) {
            reach(imports, target, seen);
        }
    }
}

#[test]
fn no_files_import_each_other() {
    let mut faults = BTreeSet::new();
    for root in crates() {
        let imports = imports_of(&root);
        let reached: BTreeMap<&str, BTreeSet<&str>> = imports
            .keys()
            .map(|file| {
                let mut seen = BTreeSet::new();
                reach(&imports, file, &mut seen);
                (file.as_str(), seen)
            })
            .collect();
        for (file, around) in &reached {
            let circle: Vec<&str> = around
                .iter()
                .filter(|other| reached.get(*other).is_some_and(|back| back.contains(file)))
                .copied()
                .collect();
            if circle.len() > 1 {
                faults.insert(circle.join(" ↔ "));
            }
        }
    }
    none(
        "files that import each other",
        &faults.into_iter().collect::<Vec<_>>(),
    );
}
