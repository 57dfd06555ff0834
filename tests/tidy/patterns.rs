//! Habits: what no code of ours does.

use expect_test::expect;

use crate::tree::{Finding, Tree};
use crate::{holds, says};

/// Files that may do what `clippy.toml` bans: the doors to clock and files. Tests beside them are named by folder.
const DOORS: [&str; 11] = [
    "examples/",
    "node/core/tests/partition/book.rs",
    "node/src/outside.rs",
    "node/src/storage/real_disk.rs",
    "node/src/cli/",
    "node/quic/src/files.rs",
    "node/quic/src/network.rs",
    "node/quic/tests/",
    "node/tests/",
    "sdk-wasm/template/tests/",
    "tests/",
];

/// Where randomness enters: everything else is handed numbers, so that a seed repeats a run.
const RANDOM_DOORS: [&str; 6] =
    ["node/src/outside.rs", "node/src/cli/", "node/client/src/", "tests/", "plugins/", "examples/"];

/// What never runs in the simulator.
const NOT_SIMULATED: [&str; 4] =
    ["node/src/cli/", "node/quic/examples/", "examples/", "tests/src/process.rs"];

/// Unsafe code, file by file, with what it is for.
const UNSAFE: [(&str, &str); 4] = [
    ("node/wire/tests/batch_allocations.rs", "an allocator that counts"),
    ("sdk-wasm/src/heap.rs", "the allocator of guests"),
    ("node/src/plugins/loading.rs", "reading back code that this node compiled"),
    ("tests/guests/hostile-producer/src/lib.rs", "a text that is no text"),
];

/// The file of rules itself names what it forbids.
const SELF: &str = "tests/tidy/";

fn is_below(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| path.starts_with(place))
}

/// Without `biased`, tokio chooses a branch at random, and a seed does not repeat a run. The command line is never
/// simulated.
fn every_select_is_biased(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| !is_below(&file.path, &NOT_SIMULATED)) {
        let end = if file.path.starts_with("tests/src/sim") { file.code.len() } else { file.tests_from() };
        for at in file.words("select!").filter(|at| *at < end) {
            let body = file.code[at + "select!".len()..].trim_start().trim_start_matches(['{', '(']);
            if !body.trim_start().starts_with("biased;") {
                findings.push(
                    file.finding(at, "select! without `biased;` is random: a seed would not repeat a run"),
                );
            }
        }
    }
    findings
}

/// Waits for quinn to find out what a path carries, which nothing announces.
const MTU: &str = "node/quic/tests/quic/transport.rs";

/// (word, where it may stand, why it may not elsewhere)
const FORBIDDEN: [(&str, &[&str], &str); 13] = [
    (
        "sync::watch",
        &NOT_SIMULATED,
        "tokio's watch wakes its receivers in a random order: use node/src/watched.rs",
    ),
    (
        "watch::channel",
        &NOT_SIMULATED,
        "tokio's watch wakes its receivers in a random order: use node/src/watched.rs",
    ),
    // openraft asks by this name for what comes from outside.
    ("thread_rng", &["node/src/controller/runtime.rs"], "randomness comes from outside"),
    ("rand", &["node/quic/src/"], "randomness comes from outside"),
    ("fastrand", &RANDOM_DOORS, "randomness comes from outside"),
    ("getrandom", &RANDOM_DOORS, "randomness comes from outside"),
    ("RandomState", &[], "an order that a hash decides is seen by somebody, some day"),
    ("dbg!", &[], "left over from debugging"),
    ("todo!", &[], "write it, or write down in the closing note that it is missing"),
    ("unimplemented!", &[], "write it, or write down in the closing note that it is missing"),
    ("ignore]", &[], "a test that does not run proves nothing"),
    ("thread::sleep", &[], "nothing waits by sleeping"),
    (
        "time::sleep",
        &["node/src/", "node/client/src/", "tests/src/sim", "tests/src/torture", "tests/sim", MTU],
        "a test does not wait by sleeping",
    ),
];

fn forbidden_words(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| !file.path.starts_with(SELF)) {
        for (word, places, why) in FORBIDDEN {
            if !is_below(&file.path, places) {
                findings.extend(file.words(word).map(|at| file.finding(at, format!("{word}: {why}"))));
            }
        }
    }
    findings
}

/// Notes to oneself are no plan: what is missing stands in an issue.
fn no_notes_to_self(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| !file.path.starts_with(SELF)) {
        let is_source = [".rs", ".toml", ".md", ".sh", ".py"].iter().any(|end| file.path.ends_with(end));
        for note in ["TODO", "FIXME", "XXX", "HACK"].iter().filter(|_| is_source) {
            let is_letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            findings.extend(file.text.match_indices(note).filter_map(|(at, _)| {
                let before = is_letter(file.text[..at].chars().next_back());
                let after = is_letter(file.text[at + note.len()..].chars().next());
                (!before && !after).then(|| file.finding(at, format!("{note}: mend it, or file it")))
            }));
        }
    }
    findings
}

/// Only doors switch the ban on clock, sleep and files off.
fn bans_are_lifted_at_doors_only(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| !is_below(&file.path, &DOORS)) {
        for at in file.words("disallowed_methods") {
            let message = "clock, sleep and files have doors (tests/tidy lists them), and this file is none";
            findings.push(file.finding(at, message));
        }
    }
    findings
}

/// A lint that is switched off says why.
fn lifted_lints_have_reasons(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        for opening in ["[allow(", "[expect("] {
            for (at, _) in file.code.match_indices(opening) {
                let attribute = &file.code[at..at + file.code[at..].find(")]").unwrap_or_default()];
                if !attribute.contains("reason") {
                    findings.push(file.finding(at, "a lint is switched off without a reason = \"...\""));
                }
            }
        }
    }
    findings
}

fn unsafe_code_is_listed(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| !UNSAFE.iter().any(|(path, _)| *path == file.path)) {
        findings.extend(file.words("unsafe").map(|at| {
            file.finding(at, "unsafe code is listed in tests/tidy with what it is for, or not written")
        }));
    }
    findings
}

/// A library and a node write to logs; only a command line talks on the terminal.
fn only_commands_print(tree: &Tree) -> Vec<Finding> {
    let may = ["node/src/cli/", "node/src/main.rs", "tests/", "examples/", "sdk-wasm/", "plugins/"];
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| !is_below(&file.path, &may) && !file.path.contains("/examples/")) {
        for word in ["println!", "print!", "eprintln!", "eprint!"] {
            let end = file.tests_from();
            findings.extend(
                file.words(word).filter(|at| *at < end).map(|at| file.finding(at, "log it, with tracing")),
            );
        }
    }
    findings
}

#[test]
fn selects_are_biased() {
    says(
        every_select_is_biased,
        &[("node/src/x.rs", "tokio::select! {\n  biased;\n  _ = a => {}\n}\nselect! { _ = a => {} }\n")],
        expect!["node/src/x.rs:5: select! without `biased;` is random: a seed would not repeat a run"],
    );
    holds(every_select_is_biased);
}

#[test]
fn forbidden_words_are_not_written() {
    says(
        forbidden_words,
        &[
            (
                "node/src/x.rs",
                "use tokio::sync::watch;\nlet x = rand::random(); // rand\nfastrand::u8(..);\n#[ignore]\n",
            ),
            ("node/tests/x.rs", "tokio::time::sleep(x);\n"),
            ("node/src/outside.rs", "fastrand::Rng::new();\n"),
        ],
        expect![[r#"
            node/src/x.rs:1: sync::watch: tokio's watch wakes its receivers in a random order: use node/src/watched.rs
            node/src/x.rs:2: rand: randomness comes from outside
            node/src/x.rs:3: fastrand: randomness comes from outside
            node/src/x.rs:4: ignore]: a test that does not run proves nothing
            node/tests/x.rs:1: time::sleep: a test does not wait by sleeping"#]],
    );
    holds(forbidden_words);
}

#[test]
fn nobody_leaves_notes_to_self() {
    says(
        no_notes_to_self,
        &[("node/src/x.rs", "// TODO: later\nlet todo_list = MY_TODO;\n")],
        expect!["node/src/x.rs:1: TODO: mend it, or file it"],
    );
    holds(no_notes_to_self);
}

#[test]
fn clock_and_files_have_doors() {
    says(
        bans_are_lifted_at_doors_only,
        &[
            ("node/src/handlers/x.rs", "#![expect(clippy::disallowed_methods, reason = \"quick\")]\n"),
            (
                "node/src/storage/real_disk.rs",
                "#![expect(clippy::disallowed_methods, reason = \"the door\")]\n",
            ),
        ],
        expect![
            "node/src/handlers/x.rs:1: clock, sleep and files have doors (tests/tidy lists them), and this file is none"
        ],
    );
    holds(bans_are_lifted_at_doors_only);
}

#[test]
fn switched_off_lints_say_why() {
    says(
        lifted_lints_have_reasons,
        &[(
            "node/src/x.rs",
            "#[allow(dead_code)]\nfn a() {}\n#[expect(clippy::x, reason = \"y\")]\nfn b() {}\n",
        )],
        expect![[r#"node/src/x.rs:1: a lint is switched off without a reason = "...""#]],
    );
    holds(lifted_lints_have_reasons);
}

#[test]
fn unsafe_code_is_rare() {
    says(
        unsafe_code_is_listed,
        &[("node/src/x.rs", "// unsafe\nunsafe { x() }\n")],
        expect!["node/src/x.rs:2: unsafe code is listed in tests/tidy with what it is for, or not written"],
    );
    holds(unsafe_code_is_listed);
}

#[test]
fn libraries_do_not_print() {
    says(
        only_commands_print,
        &[("node/src/x.rs", "println!();\n"), ("node/src/cli/x.rs", "println!();\n")],
        expect!["node/src/x.rs:1: log it, with tracing"],
    );
    holds(only_commands_print);
}
