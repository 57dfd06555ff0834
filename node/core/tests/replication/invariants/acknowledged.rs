//! What was acknowledged with `acks=all` is committed, where the answer says (INVARIANTS 30 and 31; KIP-101 to 966).

use weir_wire::ids::Offset;

use super::{Committed, Verdict};

/// `acknowledged` holds the content of each batch and where it was said to lie.
pub(crate) fn acknowledged_is_committed(acknowledged: &[(u32, Offset)], committed: &Committed) -> Verdict {
    for (content, offset) in acknowledged {
        let index = committed.batches.partition_point(|batch| batch.base_offset < *offset);
        let found = committed.batches.get(index);
        if found.is_none_or(|found| found.base_offset != *offset || found.batch.bytes != *content) {
            return Err(format!("{content} was acknowledged at {offset}, where {found:?} is committed"));
        }
    }
    Ok(())
}
