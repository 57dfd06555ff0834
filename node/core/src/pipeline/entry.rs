//! A lane as its entry node sees it, for one opening.
//!
//! ```text
//! client ──b0 b1 b2──▶ EntryLane ──(b0, p0, after none) (b0, p2, after none) (b1, p0, after b0) ...──▶ partitions
//!        ◀──answers──            ◀──stored / retry / failed, per part──
//! ```
//!
//! Batches are taken in order and pipelined. Each part carries `after`, the sequence of the part that this opening
//! sent to the same partition before it, so that a partition can tell a missing part from the first one. A part
//! answered `retry` ends its partition for this opening: what follows it there is answered `retry` without being
//! sent, and the client reopens the lane from its oldest unsettled batch.

use std::collections::BTreeMap;

use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::{PartitionIndex, Revision, Sequence};
use weir_wire::lane::{Acks, LaneAnswer, Outcome, Promise, Run};

use super::placing::Placement;

/// One opening of a lane.
#[derive(Debug)]
pub struct EntryLane {
    acks: Acks,
    revision: Revision,
    /// The ordinal that must come next; `None` before the first batch, which may have any.
    next_ordinal: Option<u64>,
    /// What this opening has sent to each partition.
    links: BTreeMap<PartitionIndex, Link>,
    /// Batches with parts that were not answered yet, by ordinal.
    in_flight: BTreeMap<u64, InFlight>,
}

/// What an opening remembers of a partition.
#[derive(Debug, Default)]
struct Link {
    /// The sequence of the last part sent there.
    after: Option<Sequence>,
    /// The partition answered `retry`: nothing more goes there in this opening.
    ended: Option<WireError>,
}

/// A batch whose parts are on their way.
#[derive(Debug)]
struct InFlight {
    /// Where each part went, by part number.
    partitions: Vec<PartitionIndex>,
    /// What became of each part; `None` while unanswered.
    outcomes: Vec<Option<Outcome>>,
    runs: Vec<Run>,
    /// The weakest promise over the parts answered so far; `None` before the first.
    promise: Option<(u32, bool)>,
}

/// A part that must be sent to its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its number within the batch, to be handed back with its outcome.
    pub part: u32,
    /// Where it goes.
    pub partition: PartitionIndex,
    /// The part that must be stored there before it.
    pub after: Option<Sequence>,
}

/// What taking a batch led to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The parts to send, in this order.
    pub parts: Vec<Part>,
    /// The answer, when none of the parts is sent.
    pub answer: Option<LaneAnswer>,
}

/// How strong the promise is that a partition kept for a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartPromise {
    /// How many replicas have the part.
    pub replicas: u32,
    /// Whether each of them flushed it.
    pub flushed: bool,
}

impl EntryLane {
    /// A lane that was just opened.
    #[must_use]
    pub fn new(acks: Acks, revision: Revision) -> EntryLane {
        EntryLane { acks, revision, next_ordinal: None, links: BTreeMap::new(), in_flight: BTreeMap::new() }
    }

    /// How many batches wait for answers.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Checks that a batch is the next of its lane.
    ///
    /// # Errors
    /// A gap or a step back in the ordinals: the client broke the protocol, the stream must be closed.
    pub fn admit(&mut self, ordinal: u64) -> Result<(), WireError> {
        if let Some(expected) = self.next_ordinal.filter(|expected| *expected != ordinal) {
            let sentence =
                format!("a lane's batches come in order: expected ordinal {expected}, got {ordinal}");
            return Err(WireError::new(ErrorCode::InvalidRequest, sentence));
        }
        let Some(next) = ordinal.checked_add(1) else {
            let sentence = "a lane's ordinals count from 0; nothing can follow the highest number there is";
            return Err(WireError::new(ErrorCode::InvalidRequest, sentence));
        };
        self.next_ordinal = Some(next);
        Ok(())
    }

    /// The answer to an admitted batch that is refused as a whole, before anything of it was sent.
    #[must_use]
    pub fn refuse(&self, ordinal: u64, records: u32, outcome: Outcome) -> LaneAnswer {
        let promise = Promise { replicas: 0, flushed: false, revision: self.revision };
        LaneAnswer { ordinal, promise, outcomes: vec![outcome], runs: vec![Run { records, outcome: 0 }] }
    }

    /// Takes an admitted batch: says which parts to send, and notes what was sent.
    ///
    /// # Panics
    /// If the batch was taken before, or its placement names no part: both are our own mistakes.
    pub fn take(&mut self, ordinal: u64, sequence: Option<Sequence>, placement: &Placement) -> Taken {
        assert!(!placement.parts.is_empty(), "a batch has at least one part");
        let mut batch = InFlight {
            partitions: placement.parts.clone(),
            outcomes: vec![None; placement.parts.len()],
            runs: placement.runs.clone(),
            promise: None,
        };
        let mut parts = Vec::with_capacity(placement.parts.len());
        for (number, partition) in (0_u32..).zip(&placement.parts) {
            let link = self.links.entry(*partition).or_default();
            if let Some(error) = &link.ended {
                batch.outcomes[number as usize] = Some(Outcome::Retry(error.clone()));
                continue;
            }
            parts.push(Part { part: number, partition: *partition, after: link.after });
            link.after = sequence;
        }
        let previous = self.in_flight.insert(ordinal, batch);
        assert!(previous.is_none(), "ordinal {ordinal} was taken twice");
        Taken { parts, answer: self.finish(ordinal) }
    }

    /// Where a part in flight went.
    ///
    /// # Panics
    /// If the part is not in flight.
    #[must_use]
    pub fn partition_of(&self, ordinal: u64, part: u32) -> PartitionIndex {
        self.in_flight.get(&ordinal).expect("outcomes are for batches in flight").partitions[part as usize]
    }

    /// Notes what became of a part; returns the answer to its batch once all its parts are answered.
    ///
    /// # Panics
    /// If the part is not in flight: an outcome is reported once.
    pub fn settle(
        &mut self,
        ordinal: u64,
        part: u32,
        outcome: Outcome,
        promise: Option<PartPromise>,
    ) -> Option<LaneAnswer> {
        let batch = self.in_flight.get_mut(&ordinal).expect("outcomes are for batches in flight");
        let partition = batch.partitions[part as usize];
        if let Outcome::Retry(error) = &outcome {
            let link = self.links.entry(partition).or_default();
            if self.acks == Acks::None {
                // Nobody waits for this part and nobody will send it again: the lane goes on without it.
                link.after = None;
            } else {
                link.ended = Some(error.clone());
            }
        }
        if let Some(kept) = promise {
            let (replicas, flushed) = batch.promise.unwrap_or((kept.replicas, kept.flushed));
            batch.promise = Some((replicas.min(kept.replicas), flushed && kept.flushed));
        }
        let slot = &mut batch.outcomes[part as usize];
        assert!(slot.is_none(), "part {part} of batch {ordinal} was answered twice");
        *slot = Some(outcome);
        self.finish(ordinal)
    }

    /// The answer to a batch, if all its parts are answered.
    fn finish(&mut self, ordinal: u64) -> Option<LaneAnswer> {
        let batch = self.in_flight.get(&ordinal)?;
        if batch.outcomes.iter().any(Option::is_none) {
            return None;
        }
        let batch = self.in_flight.remove(&ordinal)?;
        let (replicas, flushed) = batch.promise.unwrap_or((0, false));
        Some(LaneAnswer {
            ordinal,
            promise: Promise { replicas, flushed, revision: self.revision },
            outcomes: batch.outcomes.into_iter().flatten().collect(),
            runs: batch.runs,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P0: PartitionIndex = PartitionIndex(0);
    const P2: PartitionIndex = PartitionIndex(2);

    fn over(parts: &[PartitionIndex]) -> Placement {
        let runs = (0..).zip(parts).map(|(outcome, _)| Run { records: 1, outcome }).collect();
        Placement { parts: parts.to_vec(), runs }
    }

    fn stored(partition: PartitionIndex, offset: u64) -> Outcome {
        Outcome::Stored { partition, base_offset: Some(weir_wire::ids::Offset(offset)), duplicate: false }
    }

    fn retry() -> Outcome {
        Outcome::Retry(WireError::new(ErrorCode::NotLeader, "moved"))
    }

    const KEPT: Option<PartPromise> = Some(PartPromise { replicas: 3, flushed: true });

    fn lane() -> EntryLane {
        EntryLane::new(Acks::All, Revision(12))
    }

    #[test]
    fn each_part_is_linked_to_the_one_before_it_in_its_partition() {
        let mut lane = lane();
        let first = lane.take(0, Some(Sequence(0)), &over(&[P0, P2]));
        let links: Vec<_> = first.parts.iter().map(|part| (part.partition, part.after)).collect();
        assert_eq!(links, [(P0, None), (P2, None)]);
        let second = lane.take(1, Some(Sequence(100)), &over(&[P0]));
        assert_eq!(second.parts[0].after, Some(Sequence(0)));
        let third = lane.take(2, Some(Sequence(200)), &over(&[P2, P0]));
        let links: Vec<_> = third.parts.iter().map(|part| (part.partition, part.after)).collect();
        assert_eq!(links, [(P2, Some(Sequence(0))), (P0, Some(Sequence(100)))]);
    }

    #[test]
    fn a_batch_is_answered_when_all_its_parts_are_with_the_weakest_promise() {
        let mut lane = lane();
        lane.take(0, Some(Sequence(0)), &over(&[P0, P2]));
        assert_eq!(lane.settle(0, 1, stored(P2, 39), KEPT), None);
        let weaker = Some(PartPromise { replicas: 2, flushed: false });
        let answer = lane.settle(0, 0, stored(P0, 60), weaker).unwrap();
        assert_eq!(answer.promise, Promise { replicas: 2, flushed: false, revision: Revision(12) });
        assert_eq!(answer.outcomes, [stored(P0, 60), stored(P2, 39)]);
        assert_eq!(lane.in_flight(), 0);
    }

    #[test]
    fn a_retry_ends_its_partition_and_no_other() {
        let mut lane = lane();
        lane.take(0, Some(Sequence(0)), &over(&[P0]));
        let answer = lane.settle(0, 0, retry(), None).unwrap();
        assert_eq!(answer.outcomes, [retry()]);
        let mixed = lane.take(1, Some(Sequence(100)), &over(&[P0, P2]));
        assert_eq!(mixed.parts, [Part { part: 1, partition: P2, after: None }]);
        assert_eq!(lane.settle(1, 1, stored(P2, 0), KEPT).unwrap().outcomes, [retry(), stored(P2, 0)]);
        let only_ended = lane.take(2, Some(Sequence(200)), &over(&[P0]));
        assert_eq!(only_ended.parts, []);
        assert_eq!(only_ended.answer.unwrap().outcomes, [retry()]);
    }

    #[test]
    fn without_acks_a_retry_breaks_the_link_and_the_lane_goes_on() {
        let mut lane = EntryLane::new(Acks::None, Revision(1));
        lane.take(0, Some(Sequence(0)), &over(&[P0]));
        lane.settle(0, 0, retry(), None).unwrap();
        assert_eq!(lane.take(1, Some(Sequence(1)), &over(&[P0])).parts[0].after, None);
    }

    #[test]
    fn ordinals_have_no_gaps_but_may_begin_anywhere() {
        let mut lane = lane();
        lane.admit(41).unwrap();
        lane.admit(42).unwrap();
        for wrong in [42, 44, 0] {
            let error = lane.admit(wrong).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidRequest);
            assert!(error.message.contains("expected ordinal 43"), "{}", error.message);
        }
    }
    #[test]
    fn nothing_follows_the_highest_ordinal_there_is() {
        let mut lane = lane();
        lane.admit(u64::MAX - 1).unwrap();
        assert_eq!(lane.admit(u64::MAX).unwrap_err().code, ErrorCode::InvalidRequest);
    }
}
