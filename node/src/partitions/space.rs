//! Keeps appends off a disk that is nearly full.
//!
//! A write that fails for want of room takes its replica offline, since half-written states must not be guessed at.
//! So appends stop a little earlier, with an answer that tells the producer to come back: reading, deleting topics
//! and retention go on, and nothing has to be restarted once there is room.

use std::path::PathBuf;
use std::sync::Mutex;

use crate::outside::Outside;

/// Room that is left for checkpoints, metadata and batches on their way when appends stop, in bytes.
const RESERVE_BYTES: u64 = 32 * 1024 * 1024;
/// How many bytes are appended before the disk is asked again. Below the reserve, so that it cannot be jumped over.
const BYTES_BETWEEN_LOOKS: u64 = 4 * 1024 * 1024;
/// How long an answer of the disk is believed, in nanoseconds.
const LOOK_AGAIN_AFTER_NS: u64 = 500_000_000;

/// Watches the room under one data folder.
pub(super) struct SpaceGuard {
    outside: Outside,
    data: PathBuf,
    last: Mutex<Look>,
}

/// What the disk said last.
struct Look {
    at_ns: u64,
    has_room: bool,
    /// Appended since, over all partitions.
    appended_bytes: u64,
}

impl SpaceGuard {
    pub(super) fn new(outside: Outside, data: PathBuf) -> SpaceGuard {
        let never = Look { at_ns: 0, has_room: true, appended_bytes: u64::MAX };
        SpaceGuard { outside, data, last: Mutex::new(never) }
    }

    /// Whether `bytes` more may be appended.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let now_ns = self.outside.clock.now().monotonic_ns;
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        last.appended_bytes = last.appended_bytes.saturating_add(bytes as u64);
        if last.appended_bytes > BYTES_BETWEEN_LOOKS
            || now_ns.saturating_sub(last.at_ns) > LOOK_AGAIN_AFTER_NS
        {
            let had_room = last.has_room;
            // A disk that cannot tell is asked by writing to it.
            let available = self.outside.disk.available_bytes(&self.data).unwrap_or(u64::MAX);
            *last =
                Look { at_ns: now_ns, has_room: available >= RESERVE_BYTES, appended_bytes: bytes as u64 };
            if had_room && !last.has_room {
                tracing::error!(
                    data = %self.data.display(), available,
                    "the disk is nearly full: appends are refused until there is room; delete topics or shorten retention"
                );
            } else if !had_room && last.has_room {
                tracing::info!(data = %self.data.display(), available, "there is room again: appends go on");
            }
        }
        last.has_room
    }
}
