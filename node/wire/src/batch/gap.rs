//! Batches that stand for offsets whose records are gone.

use bytes::{Bytes, BytesMut};

use super::{Attributes, BatchHeader, HEADER_BYTES, crc, header, layout};
use crate::ids::{LeaderEpoch, Offset};

/// The most offsets that one gap can stand for.
pub const GAP_OFFSETS_MAX: u64 = 1 << 31;

impl BatchHeader {
    /// Whether the batch only says that offsets were given out whose records are gone: it has no records, no producer
    /// and no control record.
    #[must_use]
    pub fn is_gap(&self) -> bool {
        self.record_count == 0 && self.producer.is_none() && !self.attributes.is_control()
    }
}

/// A batch without records for the offsets from `base` up to but without `next`, of one reign, stamped. Its highest
/// timestamp is that of what it stands for.
///
/// # Panics
/// If there is no offset between the two, more than [`GAP_OFFSETS_MAX`], or one that no header can state.
#[must_use]
pub fn gap(base: Offset, next: Offset, epoch: LeaderEpoch, max_timestamp_ms: i64) -> Bytes {
    assert!(base < next && next.since(base) <= GAP_OFFSETS_MAX, "a gap from {base} to {next} fits no batch");
    let mut batch = BytesMut::zeroed(HEADER_BYTES);
    let header = BatchHeader {
        base_offset: base,
        total_bytes: u32::try_from(HEADER_BYTES).expect("a header is short"),
        leader_epoch: epoch,
        crc: 0,
        attributes: Attributes::default(),
        last_offset_delta: u32::try_from(next.since(base) - 1).expect("checked above"),
        base_timestamp_ms: max_timestamp_ms,
        max_timestamp_ms,
        producer: None,
        record_count: 0,
    };
    header::write(&header, &mut batch);
    let crc = crc(&batch);
    header::put(&mut batch, layout::CRC, crc.to_be_bytes());
    batch.freeze()
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, check, records};
    use super::*;

    #[test]
    fn a_gap_is_a_whole_batch_without_records() {
        for offsets in [1, 7, GAP_OFFSETS_MAX] {
            let batch = gap(Offset(10), Offset(10) + offsets, LeaderEpoch(3), 77);
            let header = check(&batch, &Limits::default()).unwrap();
            assert!(header.is_gap());
            assert_eq!((header.base_offset, header.next_offset()), (Offset(10), Offset(10) + offsets));
            assert_eq!((header.leader_epoch, header.max_timestamp_ms), (LeaderEpoch(3), 77));
            assert!(records(&batch, &Limits::default()).unwrap().is_empty());
        }
    }
}
