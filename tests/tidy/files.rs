//! Sizes of files, and files that nothing needs.

use std::collections::BTreeMap;

use expect_test::expect;

use crate::tree::{Finding, Tree};
use crate::{holds, says};

const FILE_LINES_MAX: usize = 740;
const LINE_CHARS_MAX: usize = 130;

/// Files that are longer, with the length that they must not pass and why they are one file. Entries only shrink.
const LONGER: [(&str, usize, &str); 0] = [];

/// Words that only make sense on the machine of whoever wrote them. Cut in two, as this file is read too.
const MACHINE_WORDS: [&str; 11] = [
    concat!("/wo", "rk/"),
    concat!("/tmp", "/h/"),
    concat!("/ho", "me/"),
    concat!("/Use", "rs/"),
    concat!("../sha", "red"),
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("py", "pi.org"),
    concat!("files.python", "hosted"),
    concat!("registry.npm", "js"),
    concat!("proxy.go", "lang"),
];

fn files_are_short(tree: &Tree) -> Vec<Finding> {
    let longer: BTreeMap<_, _> = LONGER.iter().map(|(path, lines, _)| (*path, *lines)).collect();
    let mut findings = Vec::new();
    for file in tree.rust() {
        let lines = file.text.lines().count();
        let max = longer.get(file.path.as_str()).copied().unwrap_or(FILE_LINES_MAX);
        if lines > max {
            findings.push(
                file.finding(file.text.len(), format!("{lines} lines, at most {max}: where is the seam?")),
            );
        }
    }
    for (path, _) in longer {
        if tree.get(path).is_none_or(|file| file.text.lines().count() <= FILE_LINES_MAX) {
            let table = tree.get("tests/tidy/files.rs").unwrap_or(&tree.files[0]);
            findings
                .push(table.finding(0, format!("{path} needs no exception any more: take it off the list")));
        }
    }
    findings
}

fn lines_are_short(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let mut at = 0;
        for line in file.text.split_inclusive('\n') {
            let code = &file.code[at..at + line.len()];
            let chars = long_part(line, code);
            if chars > LINE_CHARS_MAX {
                findings.push(file.finding(at, format!("{chars} characters, at most {LINE_CHARS_MAX}")));
            }
            if !code.trim().is_empty() && line.trim_end_matches(['\n', '\r']).ends_with([' ', '\t']) {
                findings.push(file.finding(at, "white space at the end of the line"));
            }
            at += line.len();
        }
    }
    findings
}

/// What counts of a line: comments in full unless they hold an address, code without what stands in strings, which
/// nobody can break.
fn long_part(line: &str, code: &str) -> usize {
    if line.trim_start().starts_with("//") {
        return if line.contains("://") { 0 } else { line.trim_end().chars().count() };
    }
    let indent = line.len() - line.trim_start().len();
    let words = code.split_whitespace().map(|word| word.chars().count() + 1);
    if code.trim().is_empty() { 0 } else { indent + words.sum::<usize>() }
}

fn no_words_of_one_machine(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.path != "Cargo.lock") {
        for word in MACHINE_WORDS {
            let found = file.text.match_indices(word).map(|(at, _)| at);
            findings
                .extend(found.map(|at| file.finding(at, format!("{word} means nothing on another machine"))));
        }
    }
    findings
}

/// Every Rust file says first what it is for.
fn files_say_what_they_are_for(tree: &Tree) -> Vec<Finding> {
    let says_so = |text: &str| {
        let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("#!"));
        first.is_some_and(|line| line.starts_with("//!"))
    };
    let silent = tree.rust().filter(|file| !says_so(&file.text));
    silent.map(|file| file.finding(0, "the file does not start with what it is for (//!)")).collect()
}

/// A file that no `mod` names is not compiled, not tested, and read by mistake.
fn no_file_is_dead(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        let stem = name.trim_end_matches(".rs");
        let is_root = ["lib", "main", "build"].contains(&stem)
            || ["tests", "benches", "examples", "bin", "fuzz_targets", "template/project"]
                .iter()
                .any(|roots| folder.ends_with(roots));
        if is_root {
            continue;
        }
        // `x/mod.rs` is named in the folder above, `x/y.rs` in x/mod.rs, x.rs, or the root beside it.
        let (module, parents) = if stem == "mod" {
            let (above, module) = folder.rsplit_once('/').unwrap_or(("", folder));
            (module, vec![above.to_owned()])
        } else {
            (stem, vec![folder.to_owned()])
        };
        let named = parents.iter().any(|parent| {
            let mut places = vec![format!("{parent}.rs")];
            places.extend(["mod", "lib", "main"].map(|root| format!("{parent}/{root}.rs")));
            let beside =
                tree.rust().filter(|other| other.path.rsplit_once('/').is_some_and(|(at, _)| at == parent));
            let roots =
                beside.filter(|_| ["tests", "benches", "bin"].iter().any(|roots| parent.ends_with(roots)));
            let declaration = format!("mod {module};");
            let mut candidates = places.iter().filter_map(|path| tree.get(path)).chain(roots);
            candidates.any(|parent| parent.words(&declaration).next().is_some())
        });
        if !named {
            findings.push(file.finding(0, format!("no `mod {module};` names this file: it is not compiled")));
        }
    }
    findings
}

/// Data that somebody else made is committed with where it came from.
fn data_has_an_origin(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in tree.paths.iter().filter(|path| path.contains("/testdata/") || path.contains("/data/")) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let explains = ["rs", "md", "py", "java", "sh"].iter().any(|end| {
            name.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case(end))
        });
        if explains {
            continue;
        }
        let mentioned = tree.files.iter().any(|file| {
            let near = file.path.starts_with(&format!("{folder}/")) && file.path != *path;
            near && file.text.contains(name)
        });
        if !mentioned {
            let at = Tree::of(&[(path, "")]);
            let message = format!("no README.md or script beside it says where {name} came from");
            findings.push(at.files[0].finding(0, message));
        }
    }
    findings
}

#[test]
fn no_file_is_too_long() {
    let long = "//! x\n".repeat(741);
    says(
        files_are_short,
        &[("node/src/x.rs", &long)],
        expect!["node/src/x.rs:742: 741 lines, at most 740: where is the seam?"],
    );
    holds(files_are_short);
}

#[test]
fn no_line_is_too_long() {
    let (code, words) = ("x".repeat(131), "x ".repeat(70));
    let line = format!("{code}\n// {words}\nlet a = \"{words}\";\nfn a() {{}} \n");
    says(
        lines_are_short,
        &[("node/src/x.rs", &line)],
        expect![[r#"
        node/src/x.rs:1: 132 characters, at most 130
        node/src/x.rs:2: 142 characters, at most 130
        node/src/x.rs:4: white space at the end of the line"#]],
    );
    holds(lines_are_short);
}

#[test]
fn nothing_names_one_machine() {
    let text = format!("see {}x\n", MACHINE_WORDS[0]);
    let findings = no_words_of_one_machine(&Tree::of(&[("README.md", &text)]));
    assert_eq!(findings.len(), 1);
    holds(no_words_of_one_machine);
}

#[test]
fn every_file_says_what_it_is_for() {
    says(
        files_say_what_they_are_for,
        &[("node/src/x.rs", "use x;\n//! late\n")],
        expect!["node/src/x.rs:1: the file does not start with what it is for (//!)"],
    );
    holds(files_say_what_they_are_for);
}

#[test]
fn every_file_is_compiled() {
    says(
        no_file_is_dead,
        &[
            ("node/src/lib.rs", "mod a;\n// mod b;\n"),
            ("node/src/a/mod.rs", "mod c;\n"),
            ("node/src/a/c.rs", ""),
            ("node/src/a/d.rs", ""),
            ("node/src/b.rs", ""),
        ],
        expect![[r#"
            node/src/a/d.rs:1: no `mod d;` names this file: it is not compiled
            node/src/b.rs:1: no `mod b;` names this file: it is not compiled"#]],
    );
    holds(no_file_is_dead);
}

#[test]
fn data_says_where_it_came_from() {
    says(
        data_has_an_origin,
        &[
            ("examples/data/README.md", "`known.json` is from X.\n"),
            ("examples/data/known.json", ""),
            ("examples/data/unknown.json", ""),
        ],
        expect![
            "examples/data/unknown.json:1: no README.md or script beside it says where unknown.json came from"
        ],
    );
    holds(data_has_an_origin);
}
