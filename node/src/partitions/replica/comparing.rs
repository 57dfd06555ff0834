//! A part that plugins made and that is stored already, held against what is stored: under a pipeline that is a pure
//! function both hold the same keys. Where they do not, no success is made up.
//!
//! The batch is read back from the log, so that a leader knows it whoever led when it was written, and nothing more is
//! remembered of producers than their headers say. Only what was sent again comes here.

use bytes::Bytes;
use tokio::sync::mpsc;
use weir_core::partition::{AppendOutcome, UnknownReason};
use weir_core::pipeline::purity;
use weir_wire::batch::{self, Limits, Records};
use weir_wire::ids::Offset;

use super::super::handle::AppendTag;
use crate::outside::Outside;
use crate::storage::{LogReader, ReadPlan};

/// The comparison of one part.
pub(super) struct Comparing {
    pub(super) outside: Outside,
    pub(super) reader: LogReader,
    /// The part, as it was sent again.
    pub(super) sent: Bytes,
    /// Where the log holds it.
    pub(super) base_offset: Offset,
    /// What the core said: it is stored already.
    pub(super) outcome: AppendOutcome,
    pub(super) tag: AppendTag,
    pub(super) reply: mpsc::UnboundedSender<(AppendTag, AppendOutcome)>,
}

impl Comparing {
    /// Compares, and answers.
    pub(super) async fn run(self) {
        let is_same = match (records(&self.sent), self.stored().await) {
            (Some(sent), Some(stored)) => purity::is_same_part(&sent, &stored),
            // What cannot be read any more cannot be held against it: it was deleted, or the disk fails, which others see.
            _ => true,
        };
        let outcome = if is_same {
            self.outcome
        } else {
            AppendOutcome::Unknown(UnknownReason::NondeterministicPipeline)
        };
        // The lane may be gone; its client reopens it and asks again.
        let _ = self.reply.send((self.tag, outcome));
    }

    async fn stored(&self) -> Option<Records> {
        let slice = match self.reader.plan(self.base_offset, self.base_offset + 1, 1, true).ok()? {
            ReadPlan::Ready(slice) => slice,
            ReadPlan::Cold(read) => self.outside.on_worker(move || read.run()).await.ok()?,
        };
        let mut first = slice.chunks.into_iter().next()?;
        let bytes = batch::total_bytes(&first).ok()?;
        let stored = records(&first.split_to((bytes as usize).min(first.len())))?;
        (stored.header().base_offset == self.base_offset).then_some(stored)
    }
}

fn records(bytes: &Bytes) -> Option<Records> {
    batch::records(bytes, &Limits { batch_bytes_max: u32::MAX, ..Limits::default() }).ok()
}
