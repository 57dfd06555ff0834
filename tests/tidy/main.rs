//! What the compiler does not hold: walls between modules, doors to the outside, and documents that are true.
//!
//! A rule is a function over the text of the tree that returns what breaks it. Each rule is run on the repository,
//! and on a bad snippet, which shows that it can fail.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails its test")]

mod documents;
mod files;
mod imports;
mod manifests;
mod patterns;
mod protocol;
mod tree;

use tree::{Finding, Tree};

type Rule = fn(&Tree) -> Vec<Finding>;

/// Runs a rule on the repository.
fn holds(rule: Rule) {
    let findings = rule(&Tree::of_repository());
    let listed: Vec<_> = findings.iter().map(ToString::to_string).collect();
    assert!(listed.is_empty(), "\n{}\n", listed.join("\n"));
}

/// Runs a rule on a made-up tree and compares what it says; a rule that says nothing about bad text is no rule.
#[expect(clippy::needless_pass_by_value, reason = "as expect_test's own helpers are called")]
fn says(rule: Rule, files: &[(&str, &str)], expected: expect_test::Expect) {
    let listed: Vec<_> = rule(&Tree::of(files)).iter().map(ToString::to_string).collect();
    expected.assert_eq(&listed.join("\n"));
}
