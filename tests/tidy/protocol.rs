//! Messages between processes that nothing would notice changing.

use std::collections::BTreeSet;

use expect_test::expect;

use crate::tree::{Finding, Tree};
use crate::{holds, says};

const GOLDEN: &str = "node/wire/tests/golden/";

/// Every type that travels has golden bytes.
fn messages_have_golden_bytes(tree: &Tree) -> Vec<Finding> {
    let golden =
        tree.rust().filter(|file| file.path.starts_with(GOLDEN) && !file.path.ends_with("arbitrary.rs"));
    let names: BTreeSet<&str> =
        golden.flat_map(|file| file.code.split(|c: char| !c.is_alphanumeric() && c != '_')).collect();
    let mut findings = Vec::new();
    let carriers = ["open.rs", "lane.rs", "fetch.rs", "error.rs", "group_log.rs", "plugin.rs", "request/"];
    for file in tree.rust() {
        let Some(path) = file.path.strip_prefix("node/wire/src/") else { continue };
        if !carriers.iter().any(|carrier| path.starts_with(carrier)) {
            continue;
        }
        for (at, derive) in file.code.match_indices("#[derive(") {
            let attribute = &file.code[at..at + file.code[at..].find(")]").unwrap_or_default()];
            let behind = &file.code[at + derive.len()..];
            let item = behind.find("pub struct ").into_iter().chain(behind.find("pub enum ")).min();
            let Some(item) = item.filter(|_| attribute.contains("Serialize")) else { continue };
            let name =
                behind[item..].split(|c: char| !c.is_alphanumeric() && c != '_').nth(2).unwrap_or_default();
            if !names.contains(&name) {
                findings
                    .push(file.finding(at, format!("{name} travels but has no golden bytes in {GOLDEN}")));
            }
        }
    }
    findings
}

#[test]
fn every_message_has_golden_bytes() {
    let source = "#[derive(Debug)]\npub struct Here;\n#[derive(Debug, Serialize)]\npub enum Gone {}\n\
                  #[derive(Serialize)]\npub struct Kept(u8);\n";
    says(
        messages_have_golden_bytes,
        &[("node/wire/src/lane.rs", source), ("node/wire/tests/golden/messages.rs", "Kept(1)")],
        expect!["node/wire/src/lane.rs:3: Gone travels but has no golden bytes in node/wire/tests/golden/"],
    );
    holds(messages_have_golden_bytes);
}
