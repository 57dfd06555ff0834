//! What the core needs of a batch, out of the bytes that lie on the wire and on disk.

use bytes::Bytes;
use weir_wire::batch::control::{self, ControlRecord};
use weir_wire::batch::{self, BatchError, BatchHeader, Limits, ProducerFields};
use weir_wire::ids::Revision;

use super::messages::{BatchMeta, ProducerStamp, StoredBatch};

impl From<&BatchHeader> for BatchMeta {
    fn from(header: &BatchHeader) -> BatchMeta {
        BatchMeta {
            bytes: header.total_bytes,
            record_count: header.record_count,
            last_offset_delta: header.last_offset_delta,
            max_timestamp_ms: header.max_timestamp_ms,
            is_control: header.attributes.is_control(),
            revision: None,
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

impl StoredBatch {
    /// As from its header, for a batch whose bytes are at hand: of a control batch that tells more.
    ///
    /// # Errors
    /// When it is a control batch that cannot be read.
    pub fn read(header: &BatchHeader, bytes: &Bytes) -> Result<StoredBatch, BatchError> {
        let mut stored = StoredBatch::from(header);
        stored.batch.revision = marked_revision(header, bytes)?;
        Ok(stored)
    }
}

fn marked_revision(header: &BatchHeader, bytes: &Bytes) -> Result<Option<Revision>, BatchError> {
    if !header.attributes.is_control() {
        return Ok(None);
    }
    match control::decode(&batch::records(bytes, &Limits::default())?)? {
        ControlRecord::Revision(marker) => Ok(Some(marker.revision)),
        ControlRecord::Other { .. } => Ok(None),
    }
}
