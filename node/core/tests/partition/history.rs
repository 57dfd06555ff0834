//! The log as the effects wrote it: what a disk would hold.

use std::collections::BTreeMap;

use weir_core::partition::{BatchMeta, Effect, RequestId, StoredBatch};
use weir_wire::ids::{Offset, Revision};

/// The control batch that marks a revision.
pub(crate) fn marker(revision: Revision) -> BatchMeta {
    BatchMeta {
        bytes: 100,
        record_count: 1,
        last_offset_delta: 0,
        max_timestamp_ms: 0,
        is_control: true,
        revision: Some(revision),
        producer: None,
    }
}

/// Every batch that was written, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) batches: Vec<StoredBatch>,
    /// The batches on offer: the bytes that a shell holds while the core decides.
    offered: BTreeMap<RequestId, BatchMeta>,
}

impl History {
    pub(crate) fn offer(&mut self, request: RequestId, batch: BatchMeta) {
        self.offered.insert(request, batch);
    }

    /// Appends what a `Write` asks for; true if it did.
    pub(crate) fn take_note(&mut self, effect: &Effect) -> bool {
        let (base_offset, leader_epoch, batch) = match *effect {
            Effect::Write { request, base_offset, leader_epoch } => {
                (base_offset, leader_epoch, self.offered[&request])
            }
            Effect::WriteRevision { revision, base_offset, leader_epoch, .. } => {
                (base_offset, leader_epoch, marker(revision))
            }
            _ => return false,
        };
        assert_eq!(self.end(), base_offset, "a write goes behind the one before it");
        self.batches.push(StoredBatch { base_offset, leader_epoch, batch });
        true
    }

    pub(crate) fn end(&self) -> Offset {
        self.batches.last().map_or(Offset::ZERO, StoredBatch::end)
    }

    /// Drops the batches that end above `end`.
    pub(crate) fn truncate(&mut self, end: Offset) {
        self.batches.retain(|batch| batch.end() <= end);
    }
}
