//! What a consumer knows of one assigned partition, and what it has for the application. Values only.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;
use weir_wire::batch::{self, BatchError, BatchHeader, Limits};
use weir_wire::fetch::Position;
use weir_wire::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};

use super::stream::StreamNumber;
use super::{ConsumedBatch, StartAt};
use crate::error::ClientError;

/// An assigned partition.
#[derive(Debug)]
pub(super) struct Assigned {
    pub(super) topic: Arc<str>,
    pub(super) topic_id: TopicId,
    pub(super) partition: PartitionIndex,
    pub(super) place: Place,
    pub(super) state: State,
    pub(super) paused: bool,
    pub(super) high_watermark: Option<Offset>,
    /// Failures in a row, for the pause before the next attempt.
    pub(super) failures: u32,
}

/// Where a partition is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The offset has to be looked up first.
    LookUp(StartAt),
    /// Behind everything that was handed out.
    At(Position),
}

/// What is going on for a partition.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing: the next step may be taken.
    Idle,
    /// The next step may be taken after this moment.
    Pausing(Instant),
    /// The offset is being looked up, under this number.
    LookingUp(u64),
    /// A stream sends it, under this subscription number.
    Subscribed(StreamNumber, u64),
    /// The application is to hear of it first, or is letting it go.
    Held,
    /// An error was reported: only a seek goes on.
    WaitsForSeek,
}

impl Assigned {
    /// Whether `subscription` of `stream` is the one in force; frames of any other are ignored.
    pub(super) fn is_current(&self, stream: StreamNumber, subscription: u64) -> bool {
        self.state == State::Subscribed(stream, subscription)
    }

    /// The error that a batch at or after `offset` cannot be read.
    pub(super) fn corrupt_batch(&self, offset: Offset, reason: BatchError) -> ClientError {
        let (topic, partition) = (self.topic.to_string(), self.partition);
        ClientError::CorruptBatch { topic, partition, offset, reason }
    }

    /// The position behind what was handed out, if it is known.
    pub(super) fn position(&self) -> Option<Position> {
        match self.place {
            Place::At(position) => Some(position),
            Place::LookUp(_) => None,
        }
    }
}

/// Something for the application, or something that happens when it would be handed out.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) key: u64,
    /// Credit that comes back to this stream when the item is taken or thrown away.
    pub(super) credit: Option<(StreamNumber, u64)>,
    /// Where the partition stands once the item is taken.
    pub(super) then: Option<Position>,
    pub(super) what: What,
}

/// The content of a [`Ready`].
#[derive(Debug)]
pub(super) enum What {
    /// A batch as it came. It is unpacked when it is handed out: packed, many fit into the credit that unpacked would
    /// not fit into memory.
    Batch(PackedBatch),
    CaughtUp(Offset),
    Reset {
        from: Offset,
        to: Offset,
    },
    /// The partition cannot go on by itself.
    Failed(ClientError),
    /// Batches without records for the application: the position moves.
    Nothing,
}

/// A stored batch from a position on, not checked yet.
#[derive(Debug)]
pub(super) struct PackedBatch {
    bytes: Bytes,
    from: Offset,
    high_watermark: Offset,
}

impl PackedBatch {
    /// Checks and unpacks the batch; `None` if nothing in it is for the application.
    ///
    /// # Errors
    /// The position at which it cannot be read, and why.
    pub(super) fn open(
        self,
        assigned: &Assigned,
        limits: &Limits,
    ) -> Result<Option<ConsumedBatch>, (Offset, BatchError)> {
        let PackedBatch { bytes, from, high_watermark } = self;
        batch::check(&bytes, limits).map_err(|error| (from, error))?;
        let records = batch::records(&bytes, limits).map_err(|error| (from, error))?;
        let topic = Arc::clone(&assigned.topic);
        let batch = ConsumedBatch::new(topic, assigned.partition, records, from, high_watermark);
        // A batch may have lost all its records, or those from the position on.
        let has_records = batch.iter().next().is_some();
        Ok(has_records.then_some(batch))
    }
}

/// Takes a data frame apart into batches. `wanted` is the position that the frame continues.
///
/// # Errors
/// The offset from which on the frame cannot be read, and why; what came before it stands in `ready`.
pub(super) fn take_apart(
    key: u64,
    frame: &DataFrame,
    stream: StreamNumber,
    ready: &mut VecDeque<Ready>,
) -> Result<(), (Offset, BatchError)> {
    let mut rest = frame.payload.clone();
    let mut position = frame.wanted;
    while !rest.is_empty() {
        let header = match whole_batch(&rest) {
            Ok(header) => header,
            Err(error) => {
                // What cannot be read gives its credit back all the same.
                let credit = Some((stream, rest.len() as u64));
                ready.push_back(Ready { key, credit, then: None, what: What::Nothing });
                return Err((position, error));
            }
        };
        let bytes = rest.split_to(usize::try_from(header.total_bytes).unwrap_or(rest.len()));
        let credit = Some((stream, bytes.len() as u64));
        let what = if header.attributes.is_control() || header.next_offset() <= position {
            What::Nothing
        } else {
            What::Batch(PackedBatch { bytes, from: position, high_watermark: frame.high_watermark })
        };
        position = header.next_offset().max(position);
        let then = Some(Position { offset: position, epoch: Some(header.leader_epoch) });
        ready.push_back(Ready { key, credit, then, what });
    }
    if frame.next_offset > position {
        let then = Some(Position { offset: frame.next_offset, epoch: Some(frame.leader_epoch) });
        ready.push_back(Ready { key, credit: None, then, what: What::Nothing });
    }
    Ok(())
}

/// A data frame as it came.
#[derive(Debug)]
pub(super) struct DataFrame {
    pub(super) payload: Bytes,
    /// The position that this frame goes on from.
    pub(super) wanted: Offset,
    pub(super) next_offset: Offset,
    pub(super) high_watermark: Offset,
    pub(super) leader_epoch: LeaderEpoch,
}

/// The header of the batch at the front, which is there in full.
fn whole_batch(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(bytes)?;
    match usize::try_from(header.total_bytes) {
        Ok(total) if total <= bytes.len() => Ok(header),
        _ => Err(BatchError::TooShort { need: u64::from(header.total_bytes), got: bytes.len() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_wire::batch::{BatchBuilder, Compression};

    fn assigned() -> Assigned {
        Assigned {
            topic: "t".into(),
            topic_id: TopicId([1; 16]),
            partition: PartitionIndex(0),
            place: Place::LookUp(StartAt::Earliest),
            state: State::Idle,
            paused: false,
            high_watermark: None,
            failures: 0,
        }
    }

    fn batch_at(offset: u64, values: &[&str]) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Compression::None);
        for value in values {
            builder.push(7, None, Some(value.as_bytes()), &[]);
        }
        let mut bytes = builder.finish(None).to_vec();
        batch::stamp(&mut bytes, Offset(offset), LeaderEpoch(3));
        bytes
    }

    fn frame(payload: Vec<u8>, wanted: u64, next: u64) -> DataFrame {
        DataFrame {
            payload: Bytes::from(payload),
            wanted: Offset(wanted),
            next_offset: Offset(next),
            high_watermark: Offset(next),
            leader_epoch: LeaderEpoch(3),
        }
    }

    /// Hands everything out; the offset at which a batch cannot be read, if there is one.
    fn open_all(ready: VecDeque<Ready>) -> (Vec<(u64, String)>, Option<Offset>) {
        let mut read = Vec::new();
        for item in ready {
            let What::Batch(packed) = item.what else { continue };
            match packed.open(&assigned(), &Limits::default()) {
                Ok(batch) => read.extend(batch.iter().flatten().map(|record| {
                    (record.offset.0, String::from_utf8_lossy(record.value.unwrap()).into_owned())
                })),
                Err((at, error)) => {
                    assert!(matches!(error, BatchError::CrcMismatch { .. }), "{error}");
                    return (read, Some(at));
                }
            }
        }
        (read, None)
    }

    fn credit_of(ready: &VecDeque<Ready>) -> u64 {
        ready.iter().filter_map(|item| item.credit).map(|(_, bytes)| bytes).sum()
    }

    #[test]
    fn a_frame_gives_the_records_from_the_position_on_and_all_its_credit_back() {
        let payload = [batch_at(10, &["a", "b", "c"]), batch_at(13, &["d"])].concat();
        let bytes = payload.len() as u64;
        let mut ready = VecDeque::new();
        take_apart(1, &frame(payload, 11, 20), StreamNumber(5), &mut ready).unwrap();
        assert_eq!(credit_of(&ready), bytes);
        let last = ready.back().unwrap().then.unwrap();
        assert_eq!(last.offset, Offset(20), "a gap behind the last batch is passed");
        let expected = [(11, "b"), (12, "c"), (13, "d")].map(|(offset, value)| (offset, value.to_owned()));
        assert_eq!(open_all(ready), (expected.to_vec(), None));
    }

    #[test]
    fn a_damaged_batch_is_reported_at_its_offset_and_what_came_before_it_is_kept() {
        let whole = [batch_at(0, &["a"]), batch_at(1, &["b"]), batch_at(2, &["c"])].concat();
        let second = batch_at(0, &["a"]).len();
        let bytes = whole.len() as u64;
        let first = (vec![(0, "a".to_owned())], Some(Offset(1)));
        // In its records, which are looked at when they are handed out.
        let (mut payload, mut ready) = (whole.clone(), VecDeque::new());
        payload[second + 65] ^= 1;
        take_apart(1, &frame(payload, 0, 3), StreamNumber(5), &mut ready).unwrap();
        assert_eq!(credit_of(&ready), bytes);
        assert_eq!(open_all(ready), first);
        // In its length, without which nothing behind it can be found.
        let (mut payload, mut ready) = (whole, VecDeque::new());
        payload[second + 8] = 0x7f;
        let (at, error) = take_apart(1, &frame(payload, 0, 3), StreamNumber(5), &mut ready).unwrap_err();
        assert!(matches!(error, BatchError::TooShort { .. }), "{error}");
        assert_eq!(credit_of(&ready), bytes);
        assert_eq!((open_all(ready).0, Some(at)), first);
    }
}
