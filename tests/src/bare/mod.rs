//! Bare quinn and bare files: nothing of Weir is measured here.
//!
//! The settings named `tuned` are those that moved the most bytes on loopback: windows of 4 MiB under socket buffers of
//! as much, datagrams of 6,500 bytes from the start (ten of them fit one call with segmentation offload), AES-128.
//! They would fail on a path of 1,500 bytes. The settings named `default` are quinn's own.

pub mod disk;
pub mod quic;

use std::time::Duration;

use clap::ValueEnum;

/// What goes wrong while measuring is said and not handled.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How quinn is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Settings {
    /// What moved the most bytes on loopback.
    Tuned,
    /// quinn's own.
    Default,
}

impl Settings {
    /// The word for it on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Settings::Tuned => "tuned",
            Settings::Default => "default",
        }
    }
}

/// The time within which `per_mille` of a thousand were done, in milliseconds. Sorts.
fn part_ms(times: &mut [Duration], per_mille: usize) -> f64 {
    times.sort_unstable();
    let at = (times.len() * per_mille / 1000).min(times.len().saturating_sub(1));
    times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}
