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
    Records(ConsumedBatch),
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

/// Takes a data frame apart into what the application will get. `wanted` is the position that the frame continues.
///
/// # Errors
/// The offset from which on the frame cannot be read, and why; what came before it stands in `ready`.
pub(super) fn unpack(
    key: u64,
    assigned: &Assigned,
    frame: &DataFrame,
    stream: StreamNumber,
    limits: &Limits,
    ready: &mut VecDeque<Ready>,
) -> Result<(), (Offset, BatchError)> {
    let mut rest = frame.payload.clone();
    let mut position = frame.wanted;
    while !rest.is_empty() {
        let credit = Some((stream, rest.len() as u64));
        let failed = |error| (position, error);
        let bytes = usize::try_from(batch::total_bytes(&rest).map_err(failed)?).unwrap_or(usize::MAX);
        if bytes > rest.len() {
            let error = BatchError::TooShort { need: bytes as u64, got: rest.len() };
            return Err(give_up(key, credit, position, error, ready));
        }
        let one = rest.split_to(bytes);
        let credit = Some((stream, one.len() as u64));
        match take_batch(assigned, &one, position, frame.high_watermark, limits) {
            Ok((header, what)) => {
                position = header.next_offset().max(position);
                let then = Some(Position { offset: position, epoch: Some(header.leader_epoch) });
                ready.push_back(Ready { key, credit, then, what });
            }
            Err(error) => {
                let all = Some((stream, one.len() as u64 + rest.len() as u64));
                return Err(give_up(key, all, position, error, ready));
            }
        }
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

/// What cannot be read gives its credit back all the same.
fn give_up(
    key: u64,
    credit: Option<(StreamNumber, u64)>,
    at: Offset,
    error: BatchError,
    ready: &mut VecDeque<Ready>,
) -> (Offset, BatchError) {
    ready.push_back(Ready { key, credit, then: None, what: What::Nothing });
    (at, error)
}

fn take_batch(
    assigned: &Assigned,
    bytes: &Bytes,
    position: Offset,
    high_watermark: Offset,
    limits: &Limits,
) -> Result<(BatchHeader, What), BatchError> {
    let header = batch::check(bytes, limits)?;
    if header.attributes.is_control() || header.next_offset() <= position {
        return Ok((header, What::Nothing));
    }
    let records = batch::records(bytes, limits)?;
    let topic = Arc::clone(&assigned.topic);
    let batch = ConsumedBatch::new(topic, assigned.partition, records, position, high_watermark);
    // A batch may have lost all its records, or those from the position on.
    let what = if batch.iter().next().is_some() { What::Records(batch) } else { What::Nothing };
    Ok((header, what))
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

    fn values(ready: &VecDeque<Ready>) -> Vec<(u64, String)> {
        let of = |item: &Ready| match &item.what {
            What::Records(batch) => batch
                .iter()
                .map(|r| (r.offset.0, String::from_utf8_lossy(r.value.unwrap()).into_owned()))
                .collect(),
            _ => Vec::new(),
        };
        ready.iter().flat_map(of).collect()
    }

    #[test]
    fn a_frame_gives_the_records_from_the_position_on_and_all_its_credit_back() {
        let payload = [batch_at(10, &["a", "b", "c"]), batch_at(13, &["d"])].concat();
        let bytes = payload.len() as u64;
        let mut ready = VecDeque::new();
        unpack(1, &assigned(), &frame(payload, 11, 20), StreamNumber(5), &Limits::default(), &mut ready)
            .unwrap();
        let expected = [(11, "b"), (12, "c"), (13, "d")].map(|(offset, value)| (offset, value.to_owned()));
        assert_eq!(values(&ready), expected);
        assert_eq!(ready.iter().filter_map(|item| item.credit).map(|(_, bytes)| bytes).sum::<u64>(), bytes);
        let last = ready.back().unwrap().then.unwrap();
        assert_eq!(last.offset, Offset(20), "a gap behind the last batch is passed");
    }

    #[test]
    fn a_damaged_batch_is_reported_at_its_offset_and_what_came_before_it_is_kept() {
        let mut payload = [batch_at(0, &["a"]), batch_at(1, &["b"]), batch_at(2, &["c"])].concat();
        let second = batch_at(0, &["a"]).len();
        payload[second + 65] ^= 1;
        let bytes = payload.len() as u64;
        let mut ready = VecDeque::new();
        let limits = Limits::default();
        let (at, error) =
            unpack(1, &assigned(), &frame(payload, 0, 3), StreamNumber(5), &limits, &mut ready).unwrap_err();
        assert_eq!(at, Offset(1));
        assert!(matches!(error, BatchError::CrcMismatch { .. }), "{error}");
        assert_eq!(values(&ready), [(0, "a".to_owned())]);
        assert_eq!(ready.iter().filter_map(|item| item.credit).map(|(_, bytes)| bytes).sum::<u64>(), bytes);
    }
}
