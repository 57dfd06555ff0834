//! Data frames of a leader, checked as a stranger's: lengths, checksums, and that offsets and reigns follow each other.

use bytes::Bytes;
use weir_wire::batch::{self, BatchError};
use weir_wire::ids::{LeaderEpoch, Offset};

use crate::storage::{STORED_LIMITS, StampedBatch};

/// Why a frame was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameFault {
    /// It holds no batch.
    #[error("the frame holds no batch")]
    Empty,
    /// What stands there is not a whole, undamaged batch.
    #[error("{0}")]
    Batch(#[from] BatchError),
    /// A batch does not follow the one before it.
    #[error("a batch starts at offset {found}, where {expected} is due")]
    Offset {
        /// What is due.
        expected: Offset,
        /// What is there.
        found: Offset,
    },
    /// A batch of an older reign than the one before it.
    #[error("a batch of leader epoch {found} follows one of {before}")]
    Epoch {
        /// The reign of the batch before.
        before: LeaderEpoch,
        /// The batch's.
        found: LeaderEpoch,
    },
}

/// Takes a frame's payload apart. `from` is where the frame before it ended; the first batch may hold it in its middle.
pub(super) fn batches(payload: &Bytes, from: Offset) -> Result<Vec<StampedBatch>, FrameFault> {
    let mut batches: Vec<StampedBatch> = Vec::new();
    let mut rest = payload.clone();
    while !rest.is_empty() {
        let bytes = batch::total_bytes(&rest)?;
        let length = usize::try_from(bytes).unwrap_or(usize::MAX);
        if length > rest.len() {
            return Err(BatchError::TooShort { need: u64::from(bytes), got: rest.len() }.into());
        }
        let bytes = rest.split_to(length);
        let header = batch::check(&bytes, &STORED_LIMITS)?;
        match batches.last().map(|before| &before.header) {
            None if header.base_offset > from || header.next_offset() <= from => {
                return Err(FrameFault::Offset { expected: from, found: header.base_offset });
            }
            Some(before) if header.base_offset != before.next_offset() => {
                let expected = before.next_offset();
                return Err(FrameFault::Offset { expected, found: header.base_offset });
            }
            Some(before) if header.leader_epoch < before.leader_epoch => {
                let (before, found) = (before.leader_epoch, header.leader_epoch);
                return Err(FrameFault::Epoch { before, found });
            }
            _ => batches.push(StampedBatch { header, bytes }),
        }
    }
    if batches.is_empty() { Err(FrameFault::Empty) } else { Ok(batches) }
}

#[cfg(test)]
mod tests {
    use weir_wire::batch::{BatchBuilder, Compression};

    use super::*;

    fn batch_at(offset: u64, epoch: u32, records: usize) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Compression::None);
        for _ in 0..records {
            builder.push(7, None, Some(b"value"), &[]);
        }
        let mut bytes = builder.finish(None).to_vec();
        batch::stamp(&mut bytes, Offset(offset), LeaderEpoch(epoch));
        bytes
    }

    fn check(parts: &[Vec<u8>], from: u64) -> Result<Vec<u64>, FrameFault> {
        let taken = batches(&Bytes::from(parts.concat()), Offset(from))?;
        Ok(taken.iter().map(|batch| batch.header.base_offset.0).collect())
    }

    #[test]
    fn whole_batches_that_follow_each_other_are_taken() {
        let parts = [batch_at(10, 1, 2), batch_at(12, 1, 3), batch_at(15, 4, 1)];
        assert_eq!(check(&parts, 10), Ok(vec![10, 12, 15]));
        assert_eq!(check(&parts, 11), Ok(vec![10, 12, 15]), "the place may lie within the first");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let offset =
            |expected, found| FrameFault::Offset { expected: Offset(expected), found: Offset(found) };
        assert_eq!(check(&[], 0), Err(FrameFault::Empty));
        assert_eq!(check(&[batch_at(11, 1, 1)], 10), Err(offset(10, 11)), "a gap in front");
        assert_eq!(check(&[batch_at(8, 1, 2)], 10), Err(offset(10, 8)), "nothing new");
        assert_eq!(check(&[batch_at(10, 1, 1), batch_at(12, 1, 1)], 10), Err(offset(11, 12)));
        assert_eq!(check(&[batch_at(10, 1, 2), batch_at(11, 1, 1)], 10), Err(offset(12, 11)));
        let older = FrameFault::Epoch { before: LeaderEpoch(3), found: LeaderEpoch(2) };
        assert_eq!(check(&[batch_at(10, 3, 1), batch_at(11, 2, 1)], 10), Err(older));
    }

    #[test]
    fn a_flipped_bit_and_a_cut_off_batch_are_refused() {
        let mut damaged = batch_at(10, 1, 2);
        *damaged.last_mut().expect("bytes") ^= 1;
        assert!(matches!(check(&[damaged], 10), Err(FrameFault::Batch(BatchError::CrcMismatch { .. }))));
        let mut cut = batch_at(10, 1, 2);
        cut.pop();
        assert!(matches!(check(&[cut], 10), Err(FrameFault::Batch(BatchError::TooShort { .. }))));
    }
}
