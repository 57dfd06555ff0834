//! The contract only grows: everything of 1.0.0 stands in it, word for word, and what plugins export is what it was.
//! The rules: `node/docs/decisions/0008-the-contract-only-grows.md`.

use std::collections::{BTreeMap, BTreeSet};

use expect_test::expect_file;
use wit_component::WitPrinter;
use wit_parser::Resolve;

/// The contract without its comments, as one text.
fn printed() -> String {
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk-wasm/wit"))
        .expect("the contract parses");
    let mut printer = WitPrinter::default();
    printer.emit_docs(false).print(&resolve, package, &[]).expect("the contract is printed");
    printer.output.to_string()
}

/// What stands in each interface and world: types and functions, each as its text.
fn items(printed: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut items: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut block = String::new();
    let mut item = String::new();
    for line in printed.lines() {
        let is_attribute = line.trim_start().starts_with('@');
        if let Some(name) = line.strip_suffix(" {").filter(|name| !name.starts_with(' ')) {
            block = name.to_owned();
        } else if line.starts_with("  ") && !is_attribute {
            item.push_str(line.trim());
            item.push(' ');
            // An item of one line ends with a semicolon, one of several with a brace; both at the first indent.
            let is_first_indent = !line.starts_with("   ");
            if is_first_indent && (line.ends_with(';') || line.ends_with('}')) {
                items.entry(block.clone()).or_default().insert(std::mem::take(&mut item));
            }
        }
    }
    items
}

/// Whether plugins export this interface.
fn is_exported(block: &str) -> bool {
    block.contains("-hooks")
}

fn assert_grows(before: &BTreeMap<String, BTreeSet<String>>, now: &BTreeMap<String, BTreeSet<String>>) {
    for (block, items) in before {
        let of_now = now.get(block).unwrap_or_else(|| panic!("{block} is gone"));
        for item in items {
            assert!(of_now.contains(item), "{block}: this is gone or changed: {item}");
        }
        if is_exported(block) {
            let more: Vec<_> = of_now.difference(items).collect();
            assert!(more.is_empty(), "{block}: a plugin of 1.0 does not export {more:?}");
        }
    }
}

#[test]
fn all_of_1_0_is_there() {
    let before = items(include_str!("contract-1.0.wit"));
    assert_eq!(before.len(), 18, "{:?}", before.keys());
    assert_grows(&before, &items(&printed()));
}

/// While the contract is 1.0.0 itself, the two are one. This test goes when it grows.
#[test]
fn this_is_1_0() {
    expect_file!["contract-1.0.wit"].assert_eq(&printed());
}

#[test]
fn a_new_function_of_the_node_is_growth() {
    let now = printed().replace("write: func(", "is-enabled: func(level: level) -> bool;\n\n  write: func(");
    assert_grows(&items(&printed()), &items(&now));
}

#[test]
#[should_panic(expected = "interface types: this is gone or changed: record rejection")]
fn a_new_field_is_a_break() {
    let now = printed().replace("    code: u32,\n", "    code: u32,\n    severity: u32,\n");
    assert_grows(&items(&printed()), &items(&now));
}

#[test]
#[should_panic(expected = "interface partitioner-hooks: a plugin of 1.0 does not export")]
fn a_new_hook_beside_the_old_ones_is_a_break() {
    let now = printed().replace("  partition: func(", "  drain: func();\n\n  partition: func(");
    assert_grows(&items(&printed()), &items(&now));
}
