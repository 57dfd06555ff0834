//! Figures for the node's metrics, labelled with plugin, version and topic. Nothing can be read back, so they never
//! influence what a plugin does.
//!
//! A name is 1 to 64 of `a-z`, `0-9` and `_`, starting with a letter; a plugin has at most 32 names. In native tests
//! the figures are kept for [`testing::counted`](crate::testing::counted).

/// Adds to a counter.
pub fn count(name: &str, amount: u64) {
    #[cfg(target_family = "wasm")]
    crate::guest::count(name, amount);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::keep_count(name, amount);
}

/// Puts a value into a histogram.
pub fn observe(name: &str, value: f64) {
    #[cfg(target_family = "wasm")]
    crate::guest::observe(name, value);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::keep_value(name, value);
}
