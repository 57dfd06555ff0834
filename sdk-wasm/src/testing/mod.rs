//! Runs a plugin natively as a node runs it: hands it batches in the contract's form, checks its answers against the
//! contract's rules, and runs everything again on a used and on a fresh instance, since hooks on the produce path
//! must be pure.
//!
//! An error of the plugin comes back as an error. An answer that breaks a rule of the contract, or that is not the
//! same the second time, panics and says which rule: that is a failed test.

mod binding;
#[cfg(feature = "golden")]
pub mod golden;
mod group;
mod record;
mod rules;

use std::cell::RefCell;
use std::collections::BTreeMap;

pub use binding::Binding;
pub use group::{Assigned, Group};
pub use record::{Fate, TestRecord};

use crate::log::Level;

thread_local! {
    static LINES: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
    static COUNTS: RefCell<BTreeMap<String, u64>> = const { RefCell::new(BTreeMap::new()) };
    static VALUES: RefCell<BTreeMap<String, Vec<f64>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Takes the lines that plugins of this test logged so far. The harness runs every batch three times.
#[must_use]
pub fn logged() -> Vec<(Level, String)> {
    LINES.with_borrow_mut(std::mem::take)
}

/// What plugins of this test added to a counter so far. The harness runs every batch three times.
#[must_use]
pub fn counted(name: &str) -> u64 {
    COUNTS.with_borrow(|counts| counts.get(name).copied().unwrap_or_default())
}

/// What plugins of this test put into a histogram so far. The harness runs every batch three times.
#[must_use]
pub fn observed(name: &str) -> Vec<f64> {
    VALUES.with_borrow(|values| values.get(name).cloned().unwrap_or_default())
}

pub(crate) fn keep_line(level: Level, message: &str) {
    LINES.with_borrow_mut(|lines| lines.push((level, message.to_owned())));
}

pub(crate) fn keep_count(name: &str, amount: u64) {
    COUNTS.with_borrow_mut(|counts| *counts.entry(named(name)).or_default() += amount);
}

pub(crate) fn keep_value(name: &str, value: f64) {
    VALUES.with_borrow_mut(|values| values.entry(named(name)).or_default().push(value));
}

fn named(name: &str) -> String {
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
    let is_well = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    assert!(
        starts_well && is_well && name.len() <= 64,
        "a metric's name is 1 to 64 of a-z, 0-9 and _, starting with a letter, not '{name}'"
    );
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_plugins_say_is_kept() {
        crate::log::warn("hot");
        crate::metrics::count("calls", 2);
        crate::metrics::count("calls", 3);
        crate::metrics::observe("depth", 0.5);
        assert_eq!(logged(), [(Level::Warn, "hot".to_owned())]);
        assert_eq!(logged(), []);
        assert_eq!(counted("calls"), 5);
        assert_eq!(observed("depth"), [0.5]);
    }

    #[test]
    #[should_panic(expected = "a metric's name")]
    fn a_metric_is_named_well() {
        crate::metrics::count("Calls", 1);
    }
}
