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
    links: BTreeMap<Target, Link>,
    /// Batches with parts that were not answered yet, by ordinal.
    in_flight: BTreeMap<u64, InFlight>,
    /// A batch was answered `retry` before anybody knew where its records go: nothing more is sent in this opening.
    ended: Option<WireError>,
}

/// Where a part goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// To a partition of the lane's topic.
    Topic(PartitionIndex),
    /// To a partition of its dead-letter topic.
    DeadLetters(PartitionIndex),
}

impl Target {
    /// The partition, of whichever topic.
    #[must_use]
    pub fn partition(self) -> PartitionIndex {
        let (Target::Topic(partition) | Target::DeadLetters(partition)) = self;
        partition
    }
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
    targets: Vec<Target>,
    /// What became of each part; `None` while unanswered.
    outcomes: Vec<Option<Outcome>>,
    /// What became of records that are in no part.
    settled: Vec<Outcome>,
    runs: Vec<Run>,
    /// The one part holds its records at their own offsets, with gaps.
    has_gaps: bool,
    /// Which settled outcome the last part's records have, if that goes to the dead-letter topic.
    dead_letters: Option<u32>,
    /// The weakest promise over the parts answered so far; `None` before the first.
    promise: Option<(u32, bool)>,
}

/// A part that must be sent to its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its number within the batch, to be handed back with its outcome.
    pub part: u32,
    /// Where it goes.
    pub target: Target,
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
        EntryLane {
            acks,
            revision,
            next_ordinal: None,
            links: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            ended: None,
        }
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

    /// The answer to an admitted batch whose records nobody could place this time: it must come again, and before
    /// every batch that follows it, since those may hold records for the same partitions.
    #[must_use]
    pub fn retry(&mut self, ordinal: u64, records: u32, error: WireError) -> LaneAnswer {
        if self.acks != Acks::None {
            self.ended.get_or_insert_with(|| error.clone());
        }
        self.refuse(ordinal, records, Outcome::Retry(error))
    }

    /// The answer to an admitted batch that is sent for the first time, when another revision than the lane's is in force:
    /// says which. The batch, and those behind it, may be sent for the first time again in a lane of that one.
    #[must_use]
    pub fn stale(&mut self, ordinal: u64, records: u32, error: WireError, in_force: Revision) -> LaneAnswer {
        let mut answer = self.retry(ordinal, records, error);
        answer.promise.revision = in_force;
        answer
    }

    /// Takes an admitted batch: says which parts to send, and notes what was sent.
    ///
    /// # Panics
    /// If the batch was taken before, or its placement says nothing of any record: both are our own mistakes.
    pub fn take(&mut self, ordinal: u64, sequence: Option<Sequence>, placement: &Placement) -> Taken {
        assert!(!placement.runs.is_empty() || !placement.parts.is_empty(), "a batch has records or a part");
        let topic = placement.parts.iter().copied().map(Target::Topic);
        let targets: Vec<_> = topic
            .chain(placement.dead_letters.map(|letters| Target::DeadLetters(letters.partition)))
            .collect();
        let mut batch = InFlight {
            outcomes: vec![None; targets.len()],
            targets: targets.clone(),
            settled: placement.settled.clone(),
            runs: placement.runs.clone(),
            has_gaps: placement.has_gaps,
            dead_letters: placement.dead_letters.map(|letters| letters.settled),
            promise: None,
        };
        let mut parts = Vec::with_capacity(targets.len());
        for (number, target) in (0_u32..).zip(targets) {
            let link = self.links.entry(target).or_default();
            if let Some(error) = self.ended.as_ref().or(link.ended.as_ref()) {
                batch.outcomes[number as usize] = Some(Outcome::Retry(error.clone()));
                continue;
            }
            parts.push(Part { part: number, target, after: link.after });
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
        self.in_flight.get(&ordinal).expect("outcomes are for batches in flight").targets[part as usize]
            .partition()
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
        let target = batch.targets[part as usize];
        if let Outcome::Retry(error) = &outcome {
            let link = self.links.entry(target).or_default();
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
        let mut outcomes: Vec<_> = batch.outcomes.into_iter().flatten().collect();
        let mut settled = batch.settled;
        if let Some(of_letters) = batch.dead_letters
            && let Some(became) = outcomes.pop()
            && !matches!(became, Outcome::Stored { .. })
        {
            settled[of_letters as usize] = became;
        }
        outcomes.append(&mut settled);
        let mut runs = batch.runs;
        if batch.has_gaps {
            spread(&mut outcomes, &mut runs);
        }
        let promise = Promise { replicas, flushed, revision: self.revision };
        Some(LaneAnswer { ordinal, promise, outcomes, runs })
    }
}

/// Gives each run of stored records an outcome of its own, since offsets of one outcome have no gaps: the records of
/// such a batch keep the offsets that they would have had, were none missing.
fn spread(outcomes: &mut Vec<Outcome>, runs: &mut [Run]) {
    let mut first = 0_u64;
    for run in runs {
        if let Some(Outcome::Stored { partition, base_offset: Some(base), duplicate }) =
            outcomes.get(run.outcome as usize)
        {
            let outcome = Outcome::Stored {
                partition: *partition,
                base_offset: Some(*base + first),
                duplicate: *duplicate,
            };
            run.outcome = u32::try_from(outcomes.len()).expect("a batch has fewer than 2^32 records");
            outcomes.push(outcome);
        }
        first += u64::from(run.records);
    }
}

#[cfg(test)]
mod tests {
    use super::super::placing::DeadLetters;
    use super::*;

    const P0: PartitionIndex = PartitionIndex(0);
    const P2: PartitionIndex = PartitionIndex(2);

    fn part(part: u32, partition: PartitionIndex, after: Option<Sequence>) -> Part {
        Part { part, target: Target::Topic(partition), after }
    }

    fn over(parts: &[PartitionIndex]) -> Placement {
        let runs = (0..).zip(parts).map(|(outcome, _)| Run { records: 1, outcome }).collect();
        Placement { parts: parts.to_vec(), settled: Vec::new(), runs, has_gaps: false, dead_letters: None }
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
        let links: Vec<_> = first.parts.iter().map(|part| (part.target.partition(), part.after)).collect();
        assert_eq!(links, [(P0, None), (P2, None)]);
        let second = lane.take(1, Some(Sequence(100)), &over(&[P0]));
        assert_eq!(second.parts[0].after, Some(Sequence(0)));
        let third = lane.take(2, Some(Sequence(200)), &over(&[P2, P0]));
        let links: Vec<_> = third.parts.iter().map(|part| (part.target.partition(), part.after)).collect();
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
        assert_eq!(mixed.parts, [part(1, P2, None)]);
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
    fn records_that_go_nowhere_are_answered_beside_the_parts() {
        let mut lane = lane();
        let rejected = Outcome::Rejected(WireError::new(ErrorCode::InvalidRecord, "no"));
        let placement = Placement {
            parts: vec![P2],
            settled: vec![Outcome::Dropped, rejected.clone()],
            runs: [(2, 1), (3, 0), (1, 2)].map(|(records, outcome)| Run { records, outcome }).to_vec(),
            has_gaps: false,
            dead_letters: None,
        };
        lane.take(0, Some(Sequence(0)), &placement);
        let answer = lane.settle(0, 0, stored(P2, 7), KEPT).unwrap();
        assert_eq!(answer.outcomes, [stored(P2, 7), Outcome::Dropped, rejected.clone()]);
        assert_eq!(answer.runs, placement.runs);

        let nothing_left = Placement { parts: vec![], ..placement };
        let taken = lane.take(1, Some(Sequence(6)), &nothing_left);
        assert_eq!(taken.parts, []);
        assert_eq!(taken.answer.unwrap().outcomes, [Outcome::Dropped, rejected]);
        // Nothing was sent, so that the next part still follows the one before.
        assert_eq!(lane.take(2, Some(Sequence(12)), &over(&[P2])).parts[0].after, Some(Sequence(0)));
    }

    #[test]
    fn records_of_a_batch_with_gaps_have_the_offsets_of_their_places() {
        let mut lane = lane();
        let placement = Placement {
            parts: vec![P0],
            settled: vec![Outcome::Dropped],
            runs: [(1, 1), (2, 0), (4, 1), (1, 0)]
                .map(|(records, outcome)| Run { records, outcome })
                .to_vec(),
            has_gaps: true,
            dead_letters: None,
        };
        lane.take(0, Some(Sequence(0)), &placement);
        let answer = lane.settle(0, 0, stored(P0, 100), KEPT).unwrap();
        let of_runs: Vec<_> = answer
            .runs
            .iter()
            .map(|run| (run.records, answer.outcomes[run.outcome as usize].clone()))
            .collect();
        assert_eq!(
            of_runs,
            [(1, Outcome::Dropped), (2, stored(P0, 101)), (4, Outcome::Dropped), (1, stored(P0, 107)),]
        );
    }

    #[test]
    fn dead_letters_are_one_more_part_that_its_records_wait_for() {
        let mut lane = lane();
        let letter = Outcome::Rejected(WireError::new(ErrorCode::DeadLettered, "put aside"));
        let placement = Placement {
            parts: vec![],
            settled: vec![Outcome::Dropped, letter.clone()],
            runs: [(1, 0), (4, 1)].map(|(records, outcome)| Run { records, outcome }).to_vec(),
            has_gaps: false,
            dead_letters: Some(DeadLetters { partition: P2, settled: 1 }),
        };
        let taken = lane.take(0, Some(Sequence(0)), &placement);
        assert_eq!(taken.parts, [Part { part: 0, target: Target::DeadLetters(P2), after: None }]);
        assert_eq!(lane.settle(0, 0, stored(P2, 3), KEPT).unwrap().outcomes, [Outcome::Dropped, letter]);

        // The topic's own partition of that number has its own chain.
        assert_eq!(lane.take(1, Some(Sequence(5)), &over(&[P2])).parts, [part(0, P2, None)]);
        lane.settle(1, 0, stored(P2, 0), KEPT);
        let again = lane.take(2, Some(Sequence(6)), &placement);
        assert_eq!(again.parts[0].after, Some(Sequence(0)));
        let answer = lane.settle(2, 0, retry(), None).unwrap();
        assert_eq!(answer.outcomes, [Outcome::Dropped, retry()]);
        assert_eq!(answer.runs, placement.runs);
    }

    #[test]
    fn a_batch_that_could_not_be_placed_ends_every_partition() {
        let mut lane = lane();
        lane.take(0, Some(Sequence(0)), &over(&[P0]));
        let busy = WireError::new(ErrorCode::Busy, "later");
        assert_eq!(lane.retry(1, 5, busy.clone()).outcomes, [Outcome::Retry(busy.clone())]);
        let later = lane.take(2, Some(Sequence(105)), &over(&[P0, P2]));
        assert_eq!(later.parts, []);
        assert_eq!(later.answer.unwrap().outcomes, [Outcome::Retry(busy.clone()), Outcome::Retry(busy)]);
        assert_eq!(lane.settle(0, 0, stored(P0, 0), KEPT).unwrap().outcomes, [stored(P0, 0)]);
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
