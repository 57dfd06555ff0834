//! Lines for the node's log, which `weir plugins logs -f` shows. The node adds plugin, version, topic and partition,
//! keeps 1024 bytes of a line, and counts lines instead of keeping them above the operator's rate.
//!
//! In native tests the lines are kept for [`testing::logged`](crate::testing::logged).

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Somebody must act.
    Error,
    /// Somebody should look.
    Warn,
    /// Worth knowing.
    Info,
    /// For the plugin's author.
    Debug,
}

/// Writes a line. It never fails and never waits.
pub fn write(level: Level, message: &str) {
    #[cfg(target_family = "wasm")]
    crate::guest::write_log(level, message);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::keep_line(level, message);
}

/// Writes a line that says that somebody must act.
pub fn error(message: impl AsRef<str>) {
    write(Level::Error, message.as_ref());
}

/// Writes a line that says that somebody should look.
pub fn warn(message: impl AsRef<str>) {
    write(Level::Warn, message.as_ref());
}

/// Writes a line that is worth knowing.
pub fn info(message: impl AsRef<str>) {
    write(Level::Info, message.as_ref());
}

/// Writes a line for the plugin's author.
pub fn debug(message: impl AsRef<str>) {
    write(Level::Debug, message.as_ref());
}
