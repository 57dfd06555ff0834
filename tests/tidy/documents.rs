//! Documents that say what is so.

use expect_test::expect;

use crate::tree::{File, Finding, Tree};
use crate::{holds, says};

const DECISIONS: &str = "node/docs/decisions/";
const LIBRARY: &str = "node/client/src/lib.rs";
const MAP: &str = "node/docs/ARCHITECTURE.md";

/// Folders that a shortened path in a document may start from.
const BASES: [&str; 9] = [
    "",
    "node/",
    "node/src/",
    "node/wire/src/",
    "node/client/src/",
    "node/quic/src/",
    "node/core/src/",
    "node/core/",
    "tests/",
];

/// What a file of the data folder is called: such a path is no path of the repository.
const OF_A_DATA_FOLDER: [&str; 6] = ["DATA/", "certs/", "authority/", "metadata/", "topics/", "node/node-"];

fn decisions_are_numbered(tree: &Tree) -> Vec<Finding> {
    let pages = tree.files.iter().filter(|file| file.path.starts_with(DECISIONS));
    let mut findings = Vec::new();
    for (page, expected) in pages.zip(1..) {
        let name = &page.path[DECISIONS.len()..];
        let number =
            name.split_once('-').and_then(|(number, _)| Some((number.len(), number.parse::<u32>().ok()?)));
        if number != Some((4, expected)) {
            findings.push(page.finding(0, format!("the next decision page is {expected:04}-title.md")));
        }
        if !page.text.starts_with(&format!("# {expected}. ")) {
            findings.push(page.finding(0, format!("the page starts with '# {expected}. ' and its title")));
        }
        if !page.text.contains("**Decision") && expected > 1 {
            findings.push(page.finding(0, "the page does not say what was decided (**Decision.**)"));
        }
    }
    findings
}

fn documents(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files.iter().filter(|file| file.path.ends_with(".md"))
}

/// A path in backticks exists.
fn paths_exist(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in documents(tree) {
        let folder = file.path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        for (at, quoted) in backticked(&file.text) {
            if !looks_like_a_path(quoted) || OF_A_DATA_FOLDER.iter().any(|start| quoted.starts_with(start)) {
                continue;
            }
            let exists = BASES.iter().any(|base| tree.has(&format!("{base}{quoted}")))
                || tree.has(&format!("{folder}{quoted}"));
            if !exists {
                findings.push(file.finding(at, format!("there is no {quoted}")));
            }
        }
    }
    findings
}

/// The target of a link exists.
fn links_lead_somewhere(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in documents(tree) {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (at, _) in file.text.match_indices("](") {
            let target = &file.text[at + 2..];
            let target = &target[..target.find(')').unwrap_or_default()];
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
            for part in path.split('/') {
                match part {
                    ".." => drop(parts.pop()),
                    "." => {}
                    part => parts.push(part),
                }
            }
            if !tree.has(&parts.join("/")) {
                findings.push(file.finding(at, format!("the link leads to {path}, which is not there")));
            }
        }
    }
    findings
}

/// The map shows every part there is: each folder of the node's source, each package.
fn the_map_is_whole(tree: &Tree) -> Vec<Finding> {
    let Some(map) = tree.get(MAP) else { return Vec::new() };
    let mut parts: Vec<&str> = tree
        .paths
        .iter()
        .filter_map(|path| {
            let of_node = path.strip_prefix("node/src/").and_then(|path| path.split_once('/'));
            of_node.map(|(module, _)| module).or_else(|| path.strip_suffix("/Cargo.toml"))
        })
        .filter(|part| !part.ends_with("fuzz") && *part != "node")
        .collect();
    parts.sort_unstable();
    parts.dedup();
    let missing = parts.into_iter().filter(|part| !map.text.contains(part));
    missing.map(|part| map.finding(0, format!("{part} is not on the map"))).collect()
}

/// What README shows of the library is what its documentation shows, where the compiler reads it.
fn snippets_are_compiled(tree: &Tree) -> Vec<Finding> {
    let Some(readme) = tree.get("README.md") else { return Vec::new() };
    let library = tree.get(LIBRARY).map_or(String::new(), |file| {
        let lines = file.text.lines().filter_map(|line| line.strip_prefix("//!"));
        let shown = lines.map(|line| line.strip_prefix(' ').unwrap_or(line));
        // What is hidden is there for the compiler alone.
        shown
            .filter(|line| *line != "#" && !line.starts_with("# "))
            .fold(String::new(), |all, line| all + line + "\n")
    });
    let compiled: Vec<String> = snippets(&library).map(|(_, snippet)| snippet).collect();
    let shown = snippets(&readme.text).filter(|(_, snippet)| !compiled.contains(snippet));
    shown.map(|(at, _)| readme.finding(at, format!("this is no example of {LIBRARY}"))).collect()
}

/// The Rust code between fences, and where it starts.
fn snippets(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut open: Option<(usize, String)> = None;
    lines(text).filter_map(move |(at, line)| {
        if let Some((_, snippet)) = &mut open {
            if line == "```" {
                return open.take();
            }
            snippet.extend([line, "\n"]);
        } else if line.starts_with("```rust") || line == "```no_run" {
            open = Some((at, String::new()));
        }
        None
    })
}

/// Each line, and where it starts.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_inclusive('\n').scan(0, |end, line| {
        let at = *end;
        *end += line.len();
        Some((at, line.trim_end()))
    })
}

/// A method of the library that waits says what dropping it leaves behind.
fn waiting_says_what_dropping_leaves(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.path.starts_with("node/client/src/")) {
        let mut is_said = false;
        for (at, line) in lines(&file.text) {
            let line = line.trim_start();
            if line.starts_with("pub async fn ") && !is_said {
                findings
                    .push(file.finding(at, "say under '# Cancel safety' what dropping the future leaves"));
            }
            // What stands above an item is about it.
            let is_about = line.starts_with("///") || line.starts_with("#[");
            is_said = is_about && (is_said || line == "/// # Cancel safety");
        }
    }
    findings
}

fn backticked(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut is_block = false;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
        } else if !is_block {
            let mut inside = false;
            let mut start = at;
            for part in line.split('`') {
                if inside {
                    found.push((start, part));
                }
                inside = !inside;
                start += part.len() + 1;
            }
        }
        at += line.len();
    }
    found
}

/// `a/b.rs` and `a/` are paths; `topics/NAME-PARTITION/`, `x/second`, `weir:node/3` and `application/json` are not.
fn looks_like_a_path(quoted: &str) -> bool {
    let legal = |c: char| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || "_-./".contains(c) || c.is_ascii_uppercase()
    };
    let shouts = quoted.split('/').any(|part| {
        part.len() > 2 && !part.contains('.') && part.chars().all(|c| c.is_ascii_uppercase() || c == '-')
    });
    let starts_here =
        quoted.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '.') && !quoted.starts_with("./");
    let has_extension =
        [".rs", ".md", ".toml", ".py", ".ndjson", ".json", ".sh"].iter().any(|end| quoted.ends_with(end));
    quoted.contains('/')
        && quoted.chars().all(legal)
        && !shouts
        && starts_here
        && (has_extension
            || quoted.ends_with('/')
            || ["node/", "tests/", "examples/", "plugins/", "sdk-wasm/", ".ci/"]
                .iter()
                .any(|top| quoted.starts_with(top)))
}

#[test]
fn decision_pages_have_no_gaps() {
    says(
        decisions_are_numbered,
        &[
            ("node/docs/decisions/0001-a.md", "# 1. A\n"),
            ("node/docs/decisions/0003-c.md", "# 3. C\n\n**Decision.** Yes.\n"),
            ("node/docs/decisions/0003-d.md", "# 3. D\n"),
        ],
        expect![[r#"
            node/docs/decisions/0003-c.md:1: the next decision page is 0002-title.md
            node/docs/decisions/0003-c.md:1: the page starts with '# 2. ' and its title
            node/docs/decisions/0003-d.md:1: the page does not say what was decided (**Decision.**)"#]],
    );
    holds(decisions_are_numbered);
}

#[test]
fn documents_name_paths_that_exist() {
    says(
        paths_exist,
        &[
            ("node/src/handlers/produce.rs", ""),
            (
                "README.md",
                "`handlers/produce.rs`, `node/src/`, `node/gone`\n`a/b` `DATA/x.rs`\n```\n`node/x.rs`\n```\n`gone/x.md`\n",
            ),
        ],
        expect![[r#"
            README.md:1: there is no node/gone
            README.md:6: there is no gone/x.md"#]],
    );
    holds(paths_exist);
}

#[test]
fn links_are_whole() {
    says(
        links_lead_somewhere,
        &[
            ("README.md", ""),
            ("node/docs/a.md", "[up](../../README.md#x) [out](https://quicwg.org) [gone](../b.md)\n"),
        ],
        expect!["node/docs/a.md:1: the link leads to ../b.md, which is not there"],
    );
    holds(links_lead_somewhere);
}

#[test]
fn every_part_is_on_the_map() {
    says(
        the_map_is_whole,
        &[
            (MAP, "handlers/ node/wire"),
            ("node/src/handlers/x.rs", ""),
            ("node/src/novel/x.rs", ""),
            ("node/wire/Cargo.toml", ""),
        ],
        expect!["node/docs/ARCHITECTURE.md:1: novel is not on the map"],
    );
    holds(the_map_is_whole);
}

#[test]
fn the_library_is_shown_as_it_compiles() {
    holds(snippets_are_compiled);
    says(
        snippets_are_compiled,
        &[
            ("README.md", "```\nweir node\n```\n```rust\nlet a = 1;\n```\n```rust\nlet b = 2;\n```\n"),
            (LIBRARY, "//! ```no_run\n//! # fn main() {\n//! let a = 1;\n//! # }\n//! ```\n"),
        ],
        expect!["README.md:7: this is no example of node/client/src/lib.rs"],
    );
}

#[test]
fn whoever_waits_knows_what_dropping_leaves() {
    holds(waiting_says_what_dropping_leaves);
    says(
        waiting_says_what_dropping_leaves,
        &[(
            "node/client/src/x.rs",
            "/// A.\n///\n/// # Cancel safety\n/// None.\n#[must_use]\npub async fn a() {}\n/// B.\npub async fn b() {}\n",
        )],
        expect!["node/client/src/x.rs:8: say under '# Cancel safety' what dropping the future leaves"],
    );
}
