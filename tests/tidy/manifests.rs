//! Which package may depend on which.

use std::collections::{BTreeMap, BTreeSet};

use expect_test::expect;
use toml::{Table, Value};

use crate::tree::{File, Finding, Tree};
use crate::{holds, says};

/// Our own packages that each of ours may depend on.
const OWN: [(&str, &[&str]); 18] = [
    ("weir-wire", &[]),
    ("weir-core", &["weir-wire"]),
    ("weir-quic", &["weir-wire"]),
    ("weir-client", &["weir-quic", "weir-wire"]),
    // Guests are what its tests run; the template is what `weir plugins new` writes.
    (
        "weir-node",
        &["weir-client", "weir-core", "weir-guests", "weir-plugin-template", "weir-quic", "weir-wire"],
    ),
    ("weir-tests", &["weir-client", "weir-core", "weir-guests", "weir-node", "weir-quic", "weir-wire"]),
    ("weir-example-producer", &["weir-client"]),
    ("weir-example-consumer", &["weir-client"]),
    ("weir-example-delivery", &["weir-client"]),
    ("weir-example-assignor", &["weir-plugin"]),
    ("weir-example-joiner", &["weir-client"]),
    ("weir-example-partitioner", &["weir-plugin"]),
    ("weir-example-redactor", &["weir-plugin"]),
    ("weir-plugin", &[]),
    ("weir-plugin-template", &["weir-plugin"]),
    ("weir-guests", &[]),
    // What the way through a plugin of the SDK costs.
    ("weir-guest-pass-flat", &["weir-plugin"]),
    // Its tests hold it against the client's own rule.
    ("weir-plugin-hash", &["weir-plugin", "weir-wire"]),
];

/// Libraries that stand behind a door: only these packages may depend on them.
const DOORS: [(&str, &[&str]); 12] = [
    ("quinn", &["weir-quic"]),
    ("rustls", &["weir-quic"]),
    ("rcgen", &["weir-quic"]),
    ("x509-parser", &["weir-quic"]),
    ("aws-lc-rs", &["weir-quic"]),
    (
        "tokio",
        &[
            "weir-quic",
            "weir-client",
            "weir-node",
            "weir-tests",
            "weir-example-producer",
            "weir-example-consumer",
            "weir-example-delivery",
            "weir-example-joiner",
        ],
    ),
    ("rusqlite", &["weir-example-delivery", "weir-tests"]),
    ("socket2", &["weir-quic", "weir-node"]),
    ("wasmtime", &["weir-node"]),
    ("openraft", &["weir-node"]),
    ("getrandom", &["weir-client", "weir-node"]),
    ("turmoil", &["weir-tests"]),
];

/// Dependencies that no source names, with what they are for.
const SILENT: [(&str, &str); 1] =
    [("rusqlite", "programs of examples/delivery, which weir-tests builds to start them")];

const SECTIONS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

struct Package<'a> {
    file: &'a File,
    name: String,
    table: Table,
}

impl Package<'_> {
    /// Every dependency, with where its name stands; those of one target too.
    fn dependencies(&self) -> Vec<(String, usize, &Value)> {
        let of_targets =
            self.table.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
        let tables = std::iter::once(&self.table).chain(of_targets.filter_map(Value::as_table));
        let sections =
            tables.flat_map(|table| SECTIONS.iter().filter_map(|section| table.get(*section)?.as_table()));
        sections
            .flatten()
            .map(|(name, value)| {
                let at = self.file.text.find(&format!("\n{name}")).map_or(0, |before| before + 1);
                (name.clone(), at, value)
            })
            .collect()
    }

    fn folder(&self) -> &str {
        self.file.path.strip_suffix("Cargo.toml").unwrap_or_default()
    }
}

/// The packages of the workspace. A fuzz package is one of its own and follows no wall.
fn packages(tree: &Tree) -> Vec<Package<'_>> {
    let manifests = tree.files.iter().filter(|file| file.path.ends_with("/Cargo.toml"));
    manifests
        .filter(|file| !file.path.ends_with("fuzz/Cargo.toml"))
        .map(|file| {
            let table: Table = file.text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.path));
            let name = table.get("package").and_then(|package| package.get("name")).and_then(Value::as_str);
            Package { file, name: name.unwrap_or_default().to_owned(), table }
        })
        .collect()
}

fn walls_between_packages(tree: &Tree) -> Vec<Finding> {
    let own: BTreeMap<_, _> = OWN.into();
    let doors: BTreeMap<_, _> = DOORS.into();
    let mut findings = Vec::new();
    for package in packages(tree) {
        let name = &package.name;
        // A plugin knows the contract and nothing of the node; a guest of the tests generates its own bindings.
        let of_folder: Option<&[&str]> = match package.file.path.split_once('/') {
            Some(("plugins", _)) => Some(&["weir-plugin", "weir-plugin-json"]),
            Some(("tests", path)) if path.starts_with("guests/") => Some(&[]),
            _ => None,
        };
        let Some(allowed) = own.get(name.as_str()).copied().or(of_folder) else {
            findings.push(
                package.file.finding(0, format!("{name} has no line in the table of packages in tests/tidy")),
            );
            continue;
        };
        for (dependency, at, _) in package.dependencies() {
            if dependency.starts_with("weir-") && !allowed.contains(&dependency.as_str()) {
                findings.push(package.file.finding(at, format!("{name} must not depend on {dependency}")));
            }
            if let Some(may) = doors.get(dependency.as_str())
                && !may.contains(&name.as_str())
            {
                let message =
                    format!("{name} must not depend on {dependency}: it stands behind {}", may.join(", "));
                findings.push(package.file.finding(at, message));
            }
        }
    }
    findings
}

/// Versions and lints are decided once.
fn manifests_share_versions_and_lints(tree: &Tree) -> Vec<Finding> {
    let is_shared = |value: &Value| value.get("workspace").and_then(Value::as_bool) == Some(true);
    let mut findings = Vec::new();
    for package in packages(tree) {
        if !package.table.get("lints").is_some_and(is_shared) {
            findings.push(
                package.file.finding(0, "the workspace's lints are not taken: [lints] workspace = true"),
            );
        }
        for (dependency, at, value) in package.dependencies() {
            if !is_shared(value) {
                let message = format!("{dependency} takes no version from the root: write workspace = true");
                findings.push(package.file.finding(at, message));
            }
        }
    }
    findings
}

/// A dependency costs build time and trust; one that nothing names costs them for nothing.
fn every_dependency_is_used(tree: &Tree) -> Vec<Finding> {
    let silent: BTreeMap<_, _> = SILENT.into();
    let packages = packages(tree);
    let mut findings = Vec::new();
    let mut wanted = BTreeSet::new();
    for package in &packages {
        for (dependency, at, _) in package.dependencies() {
            wanted.insert(dependency.clone());
            let ident = dependency.replace('-', "_");
            let inner: Vec<_> = packages
                .iter()
                .map(Package::folder)
                .filter(|folder| {
                    folder.len() > package.folder().len() && folder.starts_with(package.folder())
                })
                .collect();
            let named = tree
                .rust()
                .filter(|file| file.path.starts_with(package.folder()))
                .filter(|file| !inner.iter().any(|folder| file.path.starts_with(folder)))
                .any(|file| file.words(&ident).next().is_some());
            if !named && !silent.contains_key(dependency.as_str()) {
                let message = format!("nothing in {} names {ident}: remove the dependency", package.name);
                findings.push(package.file.finding(at, message));
            }
        }
    }
    findings.extend(unused_versions(tree, &wanted));
    findings
}

fn unused_versions(tree: &Tree, wanted: &BTreeSet<String>) -> Vec<Finding> {
    let Some(root) = tree.get("Cargo.toml") else { return Vec::new() };
    let table: Table = root.text.parse().expect("cargo reads it too");
    let versions = table.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    let versions = versions.and_then(Value::as_table).into_iter().flat_map(|versions| versions.keys());
    versions
        .filter(|name| !wanted.contains(*name))
        .map(|name| {
            let at = root.text.find(&format!("\n{name} =")).map_or(0, |before| before + 1);
            root.finding(at, format!("no package depends on {name}: remove its version"))
        })
        .collect()
}

#[test]
fn packages_depend_on_what_they_may() {
    says(
        walls_between_packages,
        &[
            ("node/core/Cargo.toml", "[package]\nname = \"weir-core\"\n[dependencies]\ntokio = \"1\"\n"),
            (
                "node/client/Cargo.toml",
                "[package]\nname = \"weir-client\"\n[dev-dependencies]\nweir-core.workspace = true\nquinn = \"1\"\n",
            ),
            ("node/new/Cargo.toml", "[package]\nname = \"weir-new\"\n"),
        ],
        expect![[r#"
            node/core/Cargo.toml:4: weir-core must not depend on tokio: it stands behind weir-quic, weir-client, weir-node, weir-tests, weir-example-producer, weir-example-consumer, weir-example-delivery, weir-example-joiner
            node/client/Cargo.toml:5: weir-client must not depend on quinn: it stands behind weir-quic
            node/client/Cargo.toml:4: weir-client must not depend on weir-core
            node/new/Cargo.toml:1: weir-new has no line in the table of packages in tests/tidy"#]],
    );
    holds(walls_between_packages);
}

#[test]
fn versions_and_lints_are_the_workspaces() {
    says(
        manifests_share_versions_and_lints,
        &[("node/wire/Cargo.toml", "[package]\nname = \"weir-wire\"\n\n[dependencies]\nbytes = \"1.12\"\n")],
        expect![[r#"
            node/wire/Cargo.toml:1: the workspace's lints are not taken: [lints] workspace = true
            node/wire/Cargo.toml:5: bytes takes no version from the root: write workspace = true"#]],
    );
    holds(manifests_share_versions_and_lints);
}

#[test]
fn no_dependency_is_left_over() {
    says(
        every_dependency_is_used,
        &[
            ("Cargo.toml", "[workspace.dependencies]\nbytes = \"1\"\nzstd = \"1\"\ncrc-fast = \"1\"\n"),
            (
                "node/wire/Cargo.toml",
                "[package]\nname = \"weir-wire\"\n\n[dependencies]\nbytes = \"1\"\ncrc-fast = \"1\"\n",
            ),
            ("node/wire/src/lib.rs", "// bytes\nuse crc_fast::x;\n"),
        ],
        expect![[r#"
            node/wire/Cargo.toml:5: nothing in weir-wire names bytes: remove the dependency
            Cargo.toml:3: no package depends on zstd: remove its version"#]],
    );
    holds(every_dependency_is_used);
}
