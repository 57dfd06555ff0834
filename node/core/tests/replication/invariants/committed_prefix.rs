//! Committed-prefix immutability (INVARIANTS 18; the promise of Kafka's high watermark): once an offset could be read,
//! no replica ever shows anything else there.

use weir_core::partition::StoredBatch;
use weir_wire::ids::Offset;

use super::Verdict;
use crate::node::Node;

/// Everything that was ever committed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Committed {
    pub(crate) batches: Vec<StoredBatch>,
}

impl Committed {
    pub(crate) fn end(&self) -> Offset {
        self.batches.last().map_or(Offset::ZERO, StoredBatch::end)
    }

    /// Takes note of what each node would let be read, and compares.
    pub(crate) fn observe(&mut self, nodes: &[Node]) -> Verdict {
        for node in nodes.iter().filter(|node| node.is_up) {
            let high_watermark = node.partition.high_watermark();
            let readable: Vec<StoredBatch> =
                node.disk.batches.iter().take_while(|batch| batch.end() <= high_watermark).copied().collect();
            let common = readable.len().min(self.batches.len());
            if readable[..common] != self.batches[..common] {
                return Err(format!("node {} shows other records below {high_watermark}", node.me.node));
            }
            self.batches.extend(&readable[common..]);
        }
        Ok(())
    }
}
