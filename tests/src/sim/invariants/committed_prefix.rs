//! Once a replica says that a batch is committed, every replica that says so of its offsets has the same bytes there,
//! for ever (LogMatching of the TLA+ models of KIP-101 and KIP-279; Kafka leaves it to an unclean election to break
//! it, of which there is none here).

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_wire::ids::{Offset, PartitionIndex};

use super::Invariant;
use crate::sim::snapshot::{Committed, Snapshot};

/// What was committed where, by its last offset.
#[derive(Debug, Default)]
pub(super) struct CommittedPrefix(BTreeMap<(PartitionIndex, Offset), Committed>);

impl Invariant for CommittedPrefix {
    fn check(&mut self, seen: &Snapshot) -> Result<(), String> {
        for batch in &seen.committed {
            let partition = batch.replica.partition;
            let (from, last) = (batch.header.base_offset, batch.header.last_offset());
            // A batch that overlaps this one, or this one itself.
            let known = self.0.range((partition, from)..).next();
            match known.filter(|((of, _), known)| *of == partition && known.header.base_offset <= last) {
                // What stands for its bytes is enough.
                None => {
                    _ = self.0.insert((partition, last), Committed { bytes: Bytes::new(), ..batch.clone() })
                }
                Some((_, known)) if known.header == batch.header && known.hash == batch.hash => {}
                Some((_, known)) => {
                    return Err(format!(
                        "committed offsets {from} to {last} are epoch {} of {}, and epoch {} of {}, with other bytes",
                        batch.header.leader_epoch, batch.replica, known.header.leader_epoch, known.replica
                    ));
                }
            }
        }
        Ok(())
    }
}
