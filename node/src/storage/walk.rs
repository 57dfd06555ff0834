//! Walking a segment file batch by batch: for lookups, recovery, rebuilding indexes and looking from outside.

use std::io;
use std::sync::Arc;

use weir_wire::batch::{BatchError, BatchHeader, HEADER_BYTES, Limits, UNSTAMPED_EPOCH, check};
use weir_wire::ids::{LeaderEpoch, Offset};

use super::disk::{DiskFile, read_full};

/// Longest batch that a log stores, so that a damaged length cannot make us take more memory than this.
/// `max.message.bytes` may not be set above it.
pub const BATCH_BYTES_MAX: u32 = 64 << 20;

/// How much a walk over headers reads at once when it looks for one batch near by.
pub(super) const NEAR_WINDOW_BYTES: usize = 4 << 10;
/// How much a walk reads at once when it goes through a whole file.
pub(super) const FAR_WINDOW_BYTES: usize = 256 << 10;

/// What batches in a log are held to: they were accepted once, under limits that may have been changed since.
pub const STORED_LIMITS: Limits = Limits {
    batch_bytes_max: BATCH_BYTES_MAX,
    uncompressed_bytes_max: u32::MAX,
    compression_ratio_max: u32::MAX,
    records_max: u32::MAX,
};

/// Why the bytes at a place in a log are not the batch that must stand there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchFault {
    /// Not a whole, undamaged batch.
    #[error(transparent)]
    Bytes(#[from] BatchError),
    /// A batch of another place in the log.
    #[error("offset {expected} is due here, and a batch of offset {found} lies here")]
    Offset {
        /// The offset after the batch before.
        expected: Offset,
        /// The base offset that the batch states.
        found: Offset,
    },
    /// Epochs never fall along a log.
    #[error("a batch of leader epoch {found} follows one of epoch {before}")]
    Epoch {
        /// The epoch of the batch before.
        before: LeaderEpoch,
        /// The epoch that the batch states.
        found: LeaderEpoch,
    },
    /// Only a leader's stamp makes a batch part of a log.
    #[error("the batch carries no leader epoch")]
    Unstamped,
    /// The file ends before the segment does.
    #[error("the file ends where offset {expected} is due")]
    Missing {
        /// The offset after the last batch.
        expected: Offset,
    },
}

/// What must come next in a log: the one rule of how batches follow each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) offset: Offset,
    /// The epoch of the batch before, if it is known.
    pub(super) epoch: Option<LeaderEpoch>,
}

impl Expected {
    pub(super) fn at(offset: Offset) -> Expected {
        Expected { offset, epoch: None }
    }

    /// Checks that `header` may stand here and moves behind it.
    pub(super) fn take(&mut self, header: &BatchHeader) -> Result<(), BatchFault> {
        if header.base_offset != self.offset {
            return Err(BatchFault::Offset { expected: self.offset, found: header.base_offset });
        }
        if header.leader_epoch == UNSTAMPED_EPOCH {
            return Err(BatchFault::Unstamped);
        }
        if let Some(before) = self.epoch
            && header.leader_epoch < before
        {
            return Err(BatchFault::Epoch { before, found: header.leader_epoch });
        }
        self.offset = header.next_offset();
        self.epoch = Some(header.leader_epoch);
        Ok(())
    }
}

/// One step of a walk.
pub(super) enum Step<T> {
    /// A batch, or its header.
    Found(T),
    /// The walk's end is reached exactly.
    End,
    /// No batch stands at the walk's position, which stays.
    Fault(BatchError),
}

/// Goes through a segment file from a position that must be the beginning of a batch.
pub(super) struct Walk {
    file: Arc<dyn DiskFile>,
    /// Where the next batch begins.
    position: u64,
    /// Where the walk ends: the length of the file as the caller knows it.
    end: u64,
    window: Vec<u8>,
    /// Where in the file the window begins.
    window_at: u64,
    window_bytes: usize,
}

impl Walk {
    pub(super) fn new(file: Arc<dyn DiskFile>, position: u64, end: u64, window_bytes: usize) -> Walk {
        assert!(window_bytes >= HEADER_BYTES, "a window holds at least one header");
        Walk { file, position, end, window: Vec::new(), window_at: position, window_bytes }
    }

    /// Where the next batch begins.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Goes on at `position`.
    pub(super) fn go_to(&mut self, position: u64) {
        self.position = position;
        self.window.clear();
        self.window_at = position;
    }

    /// The header of the next batch, whose body is neither read nor checked.
    pub(super) fn next_header(&mut self) -> io::Result<Step<BatchHeader>> {
        if self.position >= self.end {
            return Ok(Step::End);
        }
        let left = self.end - self.position;
        let step = match BatchHeader::parse(self.read(HEADER_BYTES)?) {
            Ok(header) if u64::from(header.total_bytes) > left => Step::Fault(too_short(&header, left)),
            Ok(header) => Step::Found(header),
            Err(error) => Step::Fault(error),
        };
        if let Step::Found(header) = &step {
            self.position += u64::from(header.total_bytes);
        }
        Ok(step)
    }

    /// The next batch, checked against its checksum.
    pub(super) fn next_batch(&mut self) -> io::Result<Step<(BatchHeader, &[u8])>> {
        let at = self.position;
        let header = match self.next_header()? {
            Step::Found(header) => header,
            Step::End => return Ok(Step::End),
            Step::Fault(error) => return Ok(Step::Fault(error)),
        };
        self.position = at;
        if header.total_bytes > BATCH_BYTES_MAX {
            return Ok(Step::Fault(BatchError::TooLarge { bytes: header.total_bytes, max: BATCH_BYTES_MAX }));
        }
        let bytes = usize::try_from(header.total_bytes).expect("64 MiB fit a usize");
        if let Err(error) = check(self.read(bytes)?, &STORED_LIMITS) {
            return Ok(Step::Fault(error));
        }
        self.position += u64::from(header.total_bytes);
        let from = usize::try_from(at - self.window_at).expect("within the window");
        Ok(Step::Found((header, &self.window[from..from + bytes])))
    }

    /// The bytes from the position on: `wanted` of them, fewer only at the end.
    fn read(&mut self, wanted: usize) -> io::Result<&[u8]> {
        let wanted = wanted.min(usize::try_from(self.end - self.position).unwrap_or(usize::MAX));
        let within = usize::try_from(self.position - self.window_at).unwrap_or(usize::MAX);
        if within.saturating_add(wanted) > self.window.len() {
            let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
            self.window.resize(wanted.max(self.window_bytes).min(left), 0);
            let filled = read_full(&*self.file, &mut self.window, self.position)?;
            self.window.truncate(filled);
            self.window_at = self.position;
        }
        let from = usize::try_from(self.position - self.window_at).expect("within the window");
        let to = (from + wanted).min(self.window.len());
        Ok(&self.window[from..to])
    }

    /// Whether a whole batch with an offset of at least `offset` lies anywhere behind the position: what tells damage
    /// from a torn tail. Goes byte by byte, as after a fault nothing says where batches begin.
    pub(super) fn find_batch_behind(&mut self, offset: Offset) -> io::Result<Option<(u64, BatchHeader)>> {
        while self.position + (HEADER_BYTES as u64) < self.end {
            self.position += 1;
            let left = self.end - self.position;
            match BatchHeader::parse(self.read(HEADER_BYTES)?) {
                Ok(header) if header.base_offset >= offset && u64::from(header.total_bytes) <= left => {
                    let at = self.position;
                    if let Step::Found((header, _)) = self.next_batch()? {
                        return Ok(Some((at, header)));
                    }
                    self.position = at;
                }
                _ => {}
            }
        }
        Ok(None)
    }
}

fn too_short(header: &BatchHeader, left: u64) -> BatchError {
    let got = usize::try_from(left).unwrap_or(usize::MAX);
    BatchError::TooShort { need: u64::from(header.total_bytes), got }
}
