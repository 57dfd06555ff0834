//! The newest offset of each key of the dirty part of a log, in bounded memory.

use std::collections::HashMap;

use weir_wire::batch::{BatchHeader, Records};
use weir_wire::ids::{Offset, ProducerId};

/// The most memory that the keys of one round may take: Kafka's `log.cleaner.dedupe.buffer.size`, halved. Where a dirty
/// part has more keys, a round cleans up to the batch that did not fit, and the next goes on there.
///
/// Keys are kept whole. Kafka keeps hashes, so that more fit; but a hash that two keys share deletes a record, and
/// somebody may look for two such keys.
pub(super) const KEYS_BYTES_MAX: usize = 64 << 20;
/// What a key takes beside its bytes: the offset, the allocation, its place in the table.
const KEY_OVERHEAD_BYTES: usize = 80;
/// What a producer takes.
const PRODUCER_BYTES: usize = 32;

/// What is known of the dirty part of a log. The tables are only looked up in: their order is nobody's.
#[derive(Debug)]
pub(super) struct Keys {
    newest: HashMap<Box<[u8]>, Offset>,
    /// The base offset of the newest batch of each producer.
    producers: HashMap<ProducerId, Offset>,
    bytes: usize,
    bytes_max: usize,
    /// Everything of the dirty part below this offset is in here.
    to: Offset,
}

impl Keys {
    pub(super) fn new(from: Offset, bytes_max: usize) -> Keys {
        Keys { newest: HashMap::new(), producers: HashMap::new(), bytes: 0, bytes_max, to: from }
    }

    /// Everything of the dirty part below this offset is in here.
    pub(super) fn to(&self) -> Offset {
        self.to
    }

    /// Whether no further batch is to be taken in.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max
    }

    /// Takes in the next batch of the log; `records` are those of a batch that has keys.
    pub(super) fn take(&mut self, header: &BatchHeader, records: Option<&Records>) {
        for record in records.into_iter().flatten() {
            let Some(key) = record.key else { continue };
            let offset = header.base_offset + u64::from(record.offset_delta);
            if let Some(newest) = self.newest.get_mut(key) {
                *newest = offset;
            } else {
                self.newest.insert(key.into(), offset);
                self.bytes += key.len() + KEY_OVERHEAD_BYTES;
            }
        }
        if let Some(producer) = header.producer
            && self.producers.insert(producer.id, header.base_offset).is_none()
        {
            self.bytes += PRODUCER_BYTES;
        }
        self.to = header.next_offset();
    }

    /// Whether a later record has this key.
    pub(super) fn is_superseded(&self, key: &[u8], offset: Offset) -> bool {
        self.newest.get(key).is_some_and(|newest| *newest > offset)
    }

    /// Whether a later batch is this producer's.
    pub(super) fn has_later_batch(&self, producer: ProducerId, base: Offset) -> bool {
        self.producers.get(&producer).is_some_and(|newest| *newest > base)
    }
}
