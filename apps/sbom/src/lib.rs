//! Makes the bill of materials of a program as CycloneDX
//! (<https://cyclonedx.org/docs/1.6/json/>), which the program's image contains. It comes from
//! Cargo's metadata of the workspace, and is the same for the same sources.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use anyhow::{Context, bail};
use serde_json::{Value, json};

/// The SHA-256 of each crate from a registry, by name and version.
type Checksums = BTreeMap<(String, String), String>;

/// The crates of a workspace and their dependencies.
pub struct Workspace {
    metadata: Value,
    checksums: Checksums,
}

/// Whether a crate's code is in the program, or is only needed to build it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Use {
    Build,
    Linked,
}

impl Workspace {
    /// Reads Cargo's metadata of the workspace in this folder, for Cargo's default target.
    pub fn read(root: &Path, cargo: Command) -> anyhow::Result<Self> {
        let host = output(Command::new("rustc").arg("-vV"))?;
        let host = host.lines().find_map(|line| line.strip_prefix("host: "));
        let mut metadata = cargo;
        metadata
            .args([
                "metadata",
                "--locked",
                "--format-version",
                "1",
                "--filter-platform",
            ])
            .arg(host.context("rustc does not say what it builds for")?)
            .current_dir(root);
        let lock = root.join("Cargo.lock");
        let lock =
            fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
        Ok(Self {
            metadata: serde_json::from_str(&output(&mut metadata)?)?,
            checksums: checksums(&lock),
        })
    }

    /// Writes the bill of each of these programs into a folder, as `PROGRAM.cdx.json`.
    pub fn write(&self, programs: &[&str], folder: &Path) -> anyhow::Result<()> {
        for program in programs {
            let file = folder.join(format!("{program}.cdx.json"));
            fs::write(&file, serde_json::to_vec_pretty(&self.bill(program)?)?)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(())
    }

    /// The bill of a program, which is a package of the workspace.
    pub fn bill(&self, program: &str) -> anyhow::Result<Value> {
        let packages: BTreeMap<&str, &Value> = entries(&self.metadata["packages"], "id");
        let nodes: BTreeMap<&str, &Value> = entries(&self.metadata["resolve"]["nodes"], "id");
        let mut own = packages
            .iter()
            .filter(|(_, package)| package["source"].is_null());
        let Some((root, package)) = own.find(|(_, package)| package["name"] == program) else {
            bail!("the workspace has no package {program}");
        };
        let mut used = BTreeMap::new();
        follow(root, Use::Linked, &packages, &nodes, &mut used);
        let others = used.iter().filter(|(id, _)| id != &root);
        let components: Vec<Value> = others
            .map(|(id, how)| self.component(packages[id], *how))
            .collect();
        let dependencies: Vec<Value> = used
            .keys()
            .map(|id| {
                let needs = needs(nodes[id])
                    .map(|(id, _)| id)
                    .filter(|id| used.contains_key(id));
                let needs: BTreeSet<String> = needs.map(|id| reference(packages[id])).collect();
                json!({ "ref": reference(packages[id]), "dependsOn": needs })
            })
            .collect();
        Ok(json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": { "component": {
                "type": "application",
                "bom-ref": reference(package),
                "name": program,
                "version": package["version"],
            } },
            "components": components,
            "dependencies": dependencies,
        }))
    }

    fn component(&self, package: &Value, how: Use) -> Value {
        let (name, version) = (text(&package["name"]), text(&package["version"]));
        let mut component = json!({
            "type": "library",
            "bom-ref": reference(package),
            "name": name,
            "version": version,
            "scope": if how == Use::Linked { "required" } else { "excluded" },
        });
        if let Some(license) = package["license"].as_str() {
            component["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
        }
        // A crate of the workspace has no package URL: the registry may have another of this name.
        if !package["source"].is_null() {
            component["purl"] = json!(reference(package));
            if let Some(hash) = self.checksums.get(&(name.to_owned(), version.to_owned())) {
                component["hashes"] = json!([{ "alg": "SHA-256", "content": hash }]);
            }
        }
        component
    }
}

/// Follows a crate's dependencies. The dependencies of build scripts and macros are not in the
/// program.
fn follow<'m>(
    id: &'m str,
    how: Use,
    packages: &BTreeMap<&'m str, &'m Value>,
    nodes: &BTreeMap<&'m str, &'m Value>,
    used: &mut BTreeMap<&'m str, Use>,
) {
    if used.get(id).is_some_and(|known| *known >= how) {
        return;
    }
    used.insert(id, how);
    // A crate with the sources of a C library, such as OpenSSL's: a build script compiles them into
    // the program.
    let is_source = |package: &Value| text(&package["name"]).ends_with("-src");
    for (needed, kind) in needs(nodes[id]) {
        let package = packages[needed];
        let is_needed = kind == Use::Linked && !is_macro(package) && !is_source(packages[id]);
        let is_linked = is_needed || is_source(package);
        let needed_how = if is_linked { how } else { Use::Build };
        follow(needed, needed_how, packages, nodes, used);
    }
}

/// The dependencies of a crate and of its build script, without those of its tests.
fn needs(node: &Value) -> impl Iterator<Item = (&str, Use)> {
    let needed = node["deps"].as_array().into_iter().flatten();
    needed.filter_map(|needed| {
        let kinds = needed["dep_kinds"].as_array().into_iter().flatten();
        let uses = kinds.filter_map(|kind| match kind["kind"].as_str() {
            None => Some(Use::Linked),
            Some("build") => Some(Use::Build),
            Some(_) => None,
        });
        Some((needed["pkg"].as_str()?, uses.max()?))
    })
}

fn is_macro(package: &Value) -> bool {
    let targets = package["targets"].as_array().into_iter().flatten();
    targets
        .flat_map(|target| target["kind"].as_array().into_iter().flatten())
        .any(|kind| kind == "proc-macro")
}

/// The reference to a crate: a package URL if it comes from a registry.
fn reference(package: &Value) -> String {
    let (name, version) = (text(&package["name"]), text(&package["version"]));
    if package["source"].is_null() {
        format!("tovar/{name}@{version}")
    } else {
        // Some readers of package URLs take a plus for a blank.
        format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
    }
}

fn entries<'m>(list: &'m Value, key: &str) -> BTreeMap<&'m str, &'m Value> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|entry| Some((entry[key].as_str()?, entry)))
        .collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The checksums in a Cargo.lock.
fn checksums(lock: &str) -> Checksums {
    let value = |package: &str, name: &str| {
        let line = package
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))?;
        Some(line.trim_matches('"').to_owned())
    };
    lock.split("[[package]]")
        .filter_map(|package| {
            Some((
                (value(package, "name")?, value(package, "version")?),
                value(package, "checksum")?,
            ))
        })
        .collect()
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("{name} cannot be run"))?;
    if !output.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> Workspace {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        Workspace::read(&root, Command::new(env!("CARGO"))).unwrap()
    }

    /// The scope of each component by its name.
    fn scopes(bill: &Value) -> BTreeMap<&str, &str> {
        let components = bill["components"].as_array().unwrap().iter();
        components
            .map(|one| (text(&one["name"]), text(&one["scope"])))
            .collect()
    }

    #[test]
    fn a_program_s_bill_has_what_is_linked_into_it_and_what_built_it() {
        let workspace = workspace();
        let users = workspace.bill("users").unwrap();
        let scopes = scopes(&users);
        for linked in [
            "argon2",
            "actix-web",
            "rdkafka-sys",
            "openssl-src",
            "service-kit",
        ] {
            assert_eq!(scopes.get(linked), Some(&"required"), "{linked}");
        }
        for build in ["serde_derive", "syn", "cc"] {
            assert_eq!(scopes.get(build), Some(&"excluded"), "{build}");
        }
        for tests_alone in ["backing", "testcontainers", "proptest", "users"] {
            assert_eq!(scopes.get(tests_alone), None, "{tests_alone}");
        }
        let gateway = workspace.bill("gateway").unwrap();
        assert!(!self::scopes(&gateway).contains_key("argon2"));
        assert_eq!(gateway["metadata"]["component"]["name"], "gateway");
        workspace.bill("no such program").unwrap_err();
    }

    #[test]
    fn every_crate_of_others_is_named_with_its_checksum_and_its_license() {
        let bill = workspace().bill("orders").unwrap();
        let components = bill["components"].as_array().unwrap();
        let (theirs, ours): (Vec<&Value>, Vec<&Value>) =
            components.iter().partition(|one| one["purl"].is_string());
        assert!(
            theirs.len() > 100 && ours.len() > 5,
            "{} {}",
            theirs.len(),
            ours.len()
        );
        for one in theirs {
            assert_eq!(text(&one["hashes"][0]["content"]).len(), 64, "{one}");
            assert!(one["licenses"][0]["expression"].is_string(), "{one}");
        }
        // Each reference leads to a component or to the program.
        let mut known: BTreeSet<&str> =
            components.iter().map(|one| text(&one["bom-ref"])).collect();
        known.insert(text(&bill["metadata"]["component"]["bom-ref"]));
        for dependency in bill["dependencies"].as_array().unwrap() {
            let needs = dependency["dependsOn"].as_array().unwrap().iter();
            for reference in needs.chain([&dependency["ref"]]) {
                assert!(known.contains(text(reference)), "{reference}");
            }
        }
    }

    #[test]
    fn the_bill_of_the_same_sources_is_the_same() {
        assert_eq!(
            workspace().bill("topics").unwrap(),
            workspace().bill("topics").unwrap()
        );
    }

    #[test]
    fn checksums_are_those_of_the_lock_file() {
        let lock = concat!(
            "version = 4\n\n",
            "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"aa\"\n\n",
            "[[package]]\nname = \"ours\"\nversion = \"0.1.0\"\ndependencies = [\n \"a\",\n]\n",
        );
        let expected = [(("a".to_owned(), "1.0.0".to_owned()), "aa".to_owned())];
        assert_eq!(checksums(lock), expected.into());
    }
}
