//! What the core needs of a batch, out of the header that lies on the wire and on disk.

use weir_wire::batch::{BatchHeader, ProducerFields};

use super::messages::{BatchMeta, ProducerStamp, StoredBatch};

impl From<&BatchHeader> for BatchMeta {
    fn from(header: &BatchHeader) -> BatchMeta {
        BatchMeta {
            bytes: header.total_bytes,
            record_count: header.record_count,
            last_offset_delta: header.last_offset_delta,
            max_timestamp_ms: header.max_timestamp_ms,
            is_control: header.attributes.is_control(),
            producer: header.producer.map(ProducerStamp::from),
        }
    }
}

impl From<ProducerFields> for ProducerStamp {
    fn from(fields: ProducerFields) -> ProducerStamp {
        ProducerStamp { id: fields.id, epoch: fields.epoch, base_sequence: fields.base_sequence }
    }
}

impl From<&BatchHeader> for StoredBatch {
    fn from(header: &BatchHeader) -> StoredBatch {
        StoredBatch {
            base_offset: header.base_offset,
            leader_epoch: header.leader_epoch,
            batch: header.into(),
        }
    }
}
