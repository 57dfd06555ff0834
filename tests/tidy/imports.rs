//! Which module of the node may import which, and what stays behind which door.

use std::collections::BTreeMap;

use expect_test::expect;

use crate::tree::{File, Finding, Tree};
use crate::{holds, says};

/// What each module of the node may import of the others. `cli` may import all but is imported by `main.rs` alone.
const MODULES: [(&str, &[&str]); 17] = [
    ("watched", &[]),
    ("storage", &[]),
    ("check", &[]),
    ("transport", &["watched"]),
    ("outside", &["storage"]),
    ("plugins", &["outside"]),
    ("controller", &["outside", "storage", "transport", "watched"]),
    ("partitions", &["controller", "outside", "storage", "transport", "watched"]),
    ("pipelines", &["controller", "outside", "plugins", "watched"]),
    ("replication", &["controller", "outside", "partitions", "storage", "transport", "watched"]),
    ("components", &["controller", "outside", "pipelines", "plugins", "replication", "storage"]),
    ("groups", &["controller", "outside", "partitions", "pipelines", "watched"]),
    (
        "handlers",
        &[
            "components",
            "controller",
            "groups",
            "outside",
            "partitions",
            "pipelines",
            "plugins",
            "replication",
            "storage",
            "watched",
        ],
    ),
    ("admin", &["controller", "partitions", "watched"]),
    (
        "server",
        &[
            "admin",
            "components",
            "controller",
            "groups",
            "handlers",
            "outside",
            "partitions",
            "pipelines",
            "plugins",
            "replication",
            "storage",
            "transport",
            "watched",
        ],
    ),
    ("cli", &["check", "outside", "plugins", "server", "storage", "transport"]),
    ("main", &["cli"]),
];

/// Words that must not occur in the code of a part, and why.
const BARRED: [(&str, &[&str], &str); 16] = [
    (
        "node/src/storage/",
        &["weir_core", "weir_quic", "weir_client", "quinn"],
        "storage does not know who leads, nor the network",
    ),
    (
        "node/src/transport/",
        &["weir_core", "TopicId", "Offset", "PartitionIndex"],
        "transport knows no topics and no offsets",
    ),
    (
        "node/src/partitions/",
        &["weir_quic", "quinn", "wasmtime", "weir_client"],
        "partitions know nothing of QUIC and of WebAssembly",
    ),
    (
        "node/src/pipelines/",
        &["weir_quic", "quinn", "wasmtime", "weir_client", "weir_core::partition", "LeaderEpoch", "Disk"],
        "pipelines follow the metadata: they know neither files nor streams, and call plugins only by their handles",
    ),
    (
        "node/src/plugins/",
        &["weir_quic", "quinn", "weir_client", "weir_core::partition", "LeaderEpoch", "Disk"],
        "plugins know batches, not where they come from or go to",
    ),
    (
        "node/src/replication/",
        &["quinn", "weir_client", "std::fs", "DataFolder", "Log", "Disk"],
        "replication moves frames between handles: it opens no file and decides nothing about data",
    ),
    (
        "node/src/controller/",
        &["weir_quic", "quinn", "weir_client", "RecordBatch", "BatchHeader"],
        "the controller knows no streams and no record bytes",
    ),
    (
        "node/src/groups/",
        &["quinn", "weir_quic", "wasmtime", "weir_client", "std::fs", "DataFolder", "Log", "Disk"],
        "groups know the partitions' handles, and nothing below them",
    ),
    (
        "node/src/handlers/",
        &["quinn", "wasmtime", "weir_client", "std::fs", "PathBuf", "DataFolder", "Log", "Disk"],
        "handlers know no file, no QUIC and no WebAssembly type, only handles and readers",
    ),
    (
        "node/src/server.rs",
        &["quinn", "weir_client", "std::fs"],
        "the server wires handles, it opens nothing itself",
    ),
    ("node/src/cli/", &["quinn", "rustls"], "quinn and rustls stand behind node/quic"),
    (
        "node/src/check/",
        &["tokio", "weir_core", "weir_client", "weir_quic"],
        "a checker shares nothing with what it checks",
    ),
    ("node/client/src/", &["quinn", "rustls"], "quinn and rustls stand behind node/quic"),
    (
        "node/core/src/",
        &["std::fs", "std::net", "std::thread", "std::time", "std::env", "HashMap", "HashSet"],
        "core has no IO, no clock, and no order that a hash decides",
    ),
    (
        "node/wire/src/",
        &["std::fs", "std::net", "std::thread", "std::time", "std::env"],
        "wire turns bytes into values, nothing else",
    ),
    (
        "node/quic/src/",
        &["weir_wire::batch", "weir_wire::lane", "weir_wire::fetch", "weir_wire::request"],
        "quic carries frames, whatever is in them",
    ),
];

/// The storage types that handlers see: readers of a log, and errors.
const STORAGE_FOR_HANDLERS: [&str; 4] = ["LogReader", "ReadError", "ReadPlan", "Slice"];

fn module_table(tree: &Tree) -> Vec<Finding> {
    let table: BTreeMap<_, _> = MODULES.into();
    let mut findings = Vec::new();
    for file in tree.rust() {
        let Some(path) = file.path.strip_prefix("node/src/") else { continue };
        let here = path.split('/').next().unwrap_or_default().trim_end_matches(".rs");
        if here == "lib" {
            continue;
        }
        let Some(allowed) = table.get(here) else {
            let message = format!("module {here} has no line in the table of imports in tests/tidy");
            findings.push(file.finding(0, message));
            continue;
        };
        for (at, imported) in imports(file, path) {
            if imported != here
                && table.contains_key(imported.as_str())
                && !allowed.contains(&imported.as_str())
            {
                findings.push(file.finding(at, format!("{here} must not import {imported}")));
            }
        }
    }
    findings
}

/// The top-level modules that a file of the node names, with where.
fn imports(file: &File, path: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for root in ["crate::", "weir_node::"] {
        for at in file.words(root) {
            found.extend(heads(&file.code, at + root.len()));
        }
    }
    // `super` from a top-level module is the crate. Tests inside a file stand one module deeper.
    let depth = module_depth(path);
    let (prefix, tests_from) = ("super::", file.tests_from());
    for at in file.words(prefix) {
        if file.code[..at].ends_with("super::") {
            continue;
        }
        let mut end = at;
        let mut ups = 0;
        while file.code[end..].starts_with(prefix) {
            end += prefix.len();
            ups += 1;
        }
        if ups >= depth + usize::from(at >= tests_from && tests_from > 0) {
            found.extend(heads(&file.code, end));
        }
    }
    found
}

/// How many modules a file is below the crate: `storage/mod.rs` 1, `storage/log/append.rs` 3.
fn module_depth(path: &str) -> usize {
    let trimmed = path.trim_end_matches(".rs");
    let trimmed = trimmed.strip_suffix("/mod").unwrap_or(trimmed);
    trimmed.split('/').count()
}

/// The first names of a path or of the paths in a brace group that starts at `at`.
fn heads(code: &str, at: usize) -> Vec<(usize, String)> {
    let name = |at: usize| -> String {
        code[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    if !code[at..].starts_with('{') {
        return vec![(at, name(at))];
    }
    let (mut depth, mut found, mut at_head) = (0, Vec::new(), false);
    for (offset, c) in code[at..].char_indices() {
        match c {
            '{' => {
                depth += 1;
                at_head = depth == 1;
            }
            '}' => depth -= 1,
            ',' => at_head = depth == 1,
            c if c.is_whitespace() => {}
            _ if at_head => {
                found.push((at + offset, name(at + offset)));
                at_head = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

fn barred_words(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        for (part, words, why) in BARRED {
            if !file.path.starts_with(part) {
                continue;
            }
            for word in words {
                let end = file.tests_from();
                findings.extend(
                    file.words(word)
                        .filter(|at| *at < end)
                        .map(|at| file.finding(at, format!("{word}: {why}"))),
                );
            }
        }
    }
    findings
}

fn storage_seen_by_handlers(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| file.path.starts_with("node/src/handlers/")) {
        let prefix = "crate::storage::";
        for at in file.words(prefix) {
            for (at, name) in heads(&file.code, at + prefix.len()) {
                if !STORAGE_FOR_HANDLERS.contains(&name.as_str()) {
                    findings.push(
                        file.finding(at, format!("handlers see readers of storage and errors, not {name}")),
                    );
                }
            }
        }
    }
    findings
}

#[test]
fn modules_of_the_node_import_what_they_may() {
    says(
        module_table,
        &[
            (
                "node/src/storage/log/mod.rs",
                "use crate::{\n    partitions::View,\n    storage::{server, Disk},\n};\n",
            ),
            (
                "node/src/partitions/mod.rs",
                "use super::server::Node;\nuse super::super::x;\nuse self::handlers::X;\n",
            ),
            (
                "node/src/handlers/produce/mod.rs",
                "fn f() { super::super::transport::accept() }\n// use crate::server;\n",
            ),
            (
                "node/src/outside.rs",
                "#[cfg(test)]\nmod tests {\n    use super::server;\n    use super::super::server;\n}\n",
            ),
            ("node/src/novel.rs", ""),
        ],
        expect![[r#"
            node/src/storage/log/mod.rs:2: storage must not import partitions
            node/src/partitions/mod.rs:1: partitions must not import server
            node/src/handlers/produce/mod.rs:1: handlers must not import transport
            node/src/outside.rs:3: outside must not import server
            node/src/outside.rs:4: outside must not import server
            node/src/novel.rs:1: module novel has no line in the table of imports in tests/tidy"#]],
    );
    holds(module_table);
}

#[test]
fn parts_do_not_name_what_they_must_not_know() {
    says(
        barred_words,
        &[
            ("node/src/storage/x.rs", "use weir_core::partition; // quinn\n"),
            (
                "node/src/handlers/x.rs",
                "fn f(log: Log, reader: LogReader) {}\n#[cfg(test)]\nmod tests { use std::fs; }\n",
            ),
            ("node/core/src/x.rs", "use std::time::Instant;\n"),
        ],
        expect![[r#"
            node/src/storage/x.rs:1: weir_core: storage does not know who leads, nor the network
            node/src/handlers/x.rs:1: Log: handlers know no file, no QUIC and no WebAssembly type, only handles and readers
            node/core/src/x.rs:1: std::time: core has no IO, no clock, and no order that a hash decides"#]],
    );
    holds(barred_words);
}

#[test]
fn handlers_see_readers_not_files() {
    says(
        storage_seen_by_handlers,
        &[(
            "node/src/handlers/x.rs",
            "use crate::storage::{LogReader, Log};\nuse crate::storage::RealDisk;\n",
        )],
        expect![[r#"
            node/src/handlers/x.rs:1: handlers see readers of storage and errors, not Log
            node/src/handlers/x.rs:2: handlers see readers of storage and errors, not RealDisk"#]],
    );
    holds(storage_seen_by_handlers);
}
