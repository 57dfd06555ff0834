//! Time, as the core sees it: a value that the shell passes in.

/// The moment at which an input is handled.
///
/// The two clocks answer different questions: durations are measured on the monotonic one, which cannot be set;
/// the wall clock is only for what people read and for comparing with timestamps in records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds since a moment that means nothing outside of this process. Never goes backwards.
    pub monotonic_ns: u64,
    /// Milliseconds since 1970-01-01T00:00Z. May jump, both ways.
    pub wall_ms: i64,
}

impl Now {
    /// How long ago `earlier_monotonic_ns` was, in milliseconds, rounded down; 0 if it is not earlier.
    #[must_use]
    pub fn ms_since(self, earlier_monotonic_ns: u64) -> u64 {
        self.monotonic_ns.saturating_sub(earlier_monotonic_ns) / 1_000_000
    }
}
