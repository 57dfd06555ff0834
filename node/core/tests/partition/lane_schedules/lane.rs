//! The client of one lane and its entry nodes.

use std::collections::{BTreeMap, BTreeSet};

use weir_core::partition::{AppendOutcome, ProducerStamp};
use weir_wire::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use weir_wire::lane::LANE_SEQUENCE_MAX;

use crate::random::Random;
use crate::replica::Fault;

/// Which batch of the lane, from 0.
pub(super) type Batch = usize;
/// Which partition.
pub(super) type Place = usize;

pub(super) const BATCHES: usize = 6;
pub(super) const LANE: ProducerId = ProducerId(7001);
/// How many batches are unsettled at most.
const WINDOW: usize = 3;
/// How far the sequences of two batches are apart.
const STRIDE: u32 = 100;

/// A part on its way to a partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) opening: u32,
    pub(super) batch: Batch,
    pub(super) place: Place,
    pub(super) records: u32,
    pub(super) stamp: ProducerStamp,
    pub(super) after: Option<Sequence>,
    /// The reign that the entry node believes in.
    pub(super) leader_epoch: LeaderEpoch,
    /// When it was sent.
    pub(super) sent_ms: u64,
}

/// How a batch ended for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// Stored in these partitions.
    Acknowledged(BTreeSet<Place>),
    /// Unknown, or not waited for.
    GivenUp,
}

/// What a batch is, fixed when it is first sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) stamp: ProducerStamp,
    pub(super) revision: u32,
    pub(super) first_ms: u64,
}

/// One opening of the lane, as its client and its entry node see it.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) number: u32,
    next: Batch,
    after: Vec<Option<Sequence>>,
    known: Vec<LeaderEpoch>,
    stored: BTreeMap<Batch, BTreeSet<Place>>,
    /// Batches of which a part was answered "unknown".
    unknown: BTreeSet<Batch>,
    pub(super) failed: bool,
}

pub(super) struct Lane {
    pub(super) settled: Vec<Settled>,
    pub(super) sent: Vec<Sent>,
    pub(super) opening: Opening,
    /// Where each batch goes, by revision: a pure function of the batch and the revision.
    placements: BTreeMap<(Batch, u32), BTreeMap<Place, u32>>,
    /// Where each opening sent each batch.
    placed: BTreeMap<(u32, Batch), BTreeMap<Place, u32>>,
    /// The first batch of the next producer epoch, if the lane rolls over.
    rolls_at: Option<Batch>,
    next_sequence: Sequence,
    fault: Fault,
}

impl Lane {
    pub(super) fn new(random: &mut Random, places: usize, fault: Fault) -> Lane {
        let placements = (0..BATCHES)
            .flat_map(|batch| [1, 2].map(|revision| (batch, revision)))
            .map(|key| (key, some_places(random, places)))
            .collect();
        let rolls_at = random.percent(30).then(|| 1 + random.below(BATCHES - 1));
        // The last sequence before the roll-over is the last one there is.
        let before_roll = rolls_at.map_or(0, |batch| u32::try_from(batch).unwrap());
        let first = if rolls_at.is_some() { LANE_SEQUENCE_MAX.0 - 1 - STRIDE * (before_roll - 1) } else { 0 };
        Lane {
            settled: Vec::new(),
            sent: Vec::new(),
            opening: Opening::new(0, 0, vec![LeaderEpoch(1); places]),
            placements,
            placed: BTreeMap::new(),
            rolls_at,
            next_sequence: Sequence(first),
            fault,
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled.len() == BATCHES
    }

    /// Whether the epoch rolled over and went on.
    pub(super) fn has_rolled(&self) -> bool {
        self.sent.last().is_some_and(|sent| sent.stamp.epoch > ProducerEpoch(0))
    }

    /// A new opening, from the oldest unsettled batch; the overtaken one may go on sending.
    pub(super) fn reopen(&mut self, known: Vec<LeaderEpoch>) {
        let mut next = self.settled.len();
        if self.fault == Fault::ResumesTooFar && next < self.sent.len() {
            next += 1;
        }
        self.opening = Opening::new(self.opening.number + 1, next, known);
    }

    pub(super) fn can_send(&self) -> bool {
        let next = self.opening.next;
        // Before the next producer epoch everything of the last one is settled.
        let rolls = self.rolls_at == Some(next) && self.settled.len() < next;
        next < BATCHES && next < self.settled.len() + WINDOW && !rolls
    }

    /// The entry node takes the next batch and splits it.
    pub(super) fn send(&mut self, random: &mut Random, now_ms: u64, revision: u32) -> (Batch, Vec<Part>) {
        let batch = self.opening.next;
        self.opening.next += 1;
        if batch == self.sent.len() {
            let stamp = self.next_stamp(batch);
            self.sent.push(Sent { stamp, revision, first_ms: now_ms });
        }
        if self.rolls_at == Some(batch) {
            self.opening.after.fill(None);
        }
        let Sent { stamp, revision: first_revision, .. } = self.sent[batch];
        let revision = if self.fault == Fault::ResendsAtNewRevision { revision } else { first_revision };
        let mut placed = self.placements[&(batch, revision)].clone();
        if self.fault == Fault::ImpurePlacement && random.percent(20) {
            placed = some_places(random, self.opening.after.len());
        }
        self.placed.insert((self.opening.number, batch), placed.clone());
        let opening = &mut self.opening;
        let parts = placed.into_iter().map(|(place, records)| {
            let after = opening.after[place].replace(stamp.base_sequence);
            let leader_epoch = opening.known[place];
            Part {
                opening: opening.number,
                batch,
                place,
                records,
                stamp,
                after,
                leader_epoch,
                sent_ms: now_ms,
            }
        });
        (batch, parts.collect())
    }

    fn next_stamp(&mut self, batch: Batch) -> ProducerStamp {
        if self.rolls_at == Some(batch) {
            self.next_sequence = Sequence(0);
        }
        let base_sequence = self.next_sequence;
        self.next_sequence = Sequence(base_sequence.0 + STRIDE);
        let epoch = ProducerEpoch(u16::from(self.rolls_at.is_some_and(|roll| batch >= roll)));
        ProducerStamp { id: LANE, epoch, base_sequence }
    }

    pub(super) fn learn(&mut self, place: Place, leader_epoch: LeaderEpoch) {
        self.opening.known[place] = leader_epoch;
    }

    /// An answer reaches the client. Answers of earlier openings and for settled batches are ignored.
    pub(super) fn answered(&mut self, opening: u32, batch: Batch, place: Place, outcome: &AppendOutcome) {
        if opening != self.opening.number || batch < self.settled.len() {
            return;
        }
        match outcome {
            AppendOutcome::Stored { .. } => {
                self.opening.stored.entry(batch).or_default().insert(place);
                self.settle_in_order();
            }
            AppendOutcome::Unknown(_) => {
                self.opening.unknown.insert(batch);
                self.settle_in_order();
            }
            _ => self.opening.failed = true,
        }
    }

    fn settle_in_order(&mut self) {
        loop {
            let oldest = self.settled.len();
            if self.opening.unknown.contains(&oldest) {
                self.settled.push(Settled::GivenUp);
                continue;
            }
            let Some(placed) = self.placed.get(&(self.opening.number, oldest)) else { return };
            let wanted: BTreeSet<Place> = placed.keys().copied().collect();
            if self.opening.stored.get(&oldest) != Some(&wanted) {
                return;
            }
            self.settled.push(Settled::Acknowledged(wanted));
        }
    }

    /// The client no longer waits for its oldest unsettled batch.
    pub(super) fn give_up(&mut self) {
        let oldest = self.settled.len();
        if self.fault == Fault::ReusesSequence
            && oldest + 1 == self.sent.len()
            && self.rolls_at != Some(oldest + 1)
        {
            self.next_sequence = self.sent[oldest].stamp.base_sequence;
        }
        self.settled.push(Settled::GivenUp);
        self.opening.failed = true;
        // What was given up is never sent again: by now a partition may have forgotten that it stored it.
        self.opening.next = self.opening.next.max(self.settled.len());
    }

    /// Since when the client waits for its oldest unsettled batch.
    pub(super) fn waiting_since_ms(&self) -> Option<u64> {
        self.sent.get(self.settled.len()).map(|sent| sent.first_ms)
    }

    /// Whether a batch has a part for a partition, as it was first sent.
    pub(super) fn touches(&self, batch: Batch, place: Place) -> bool {
        self.sent.get(batch).is_some_and(|sent| self.placements[&(batch, sent.revision)].contains_key(&place))
    }
}

impl Opening {
    fn new(number: u32, next: Batch, known: Vec<LeaderEpoch>) -> Opening {
        let after = vec![None; known.len()];
        Opening {
            number,
            next,
            after,
            known,
            stored: BTreeMap::new(),
            unknown: BTreeSet::new(),
            failed: false,
        }
    }
}

/// At least one partition, each with a number of records.
fn some_places(random: &mut Random, places: usize) -> BTreeMap<Place, u32> {
    let always = random.below(places);
    (0..places)
        .filter_map(|place| {
            let records = 1 + u32::try_from(random.below(3)).unwrap();
            (place == always || random.percent(50)).then_some((place, records))
        })
        .collect()
}

/// What a part holds, as a number that lies in the log with it: the `bytes` of its batch.
pub(super) fn content(batch: Batch) -> u32 {
    1000 + u32::try_from(batch).unwrap()
}

/// Which batch lies there, if it is one of the lane.
pub(super) fn batch_of(content: u32) -> Option<Batch> {
    content.checked_sub(1000).map(|batch| usize::try_from(batch).unwrap())
}

/// Where a part is said to lie.
pub(super) fn answered_offset(outcome: &AppendOutcome) -> Option<Offset> {
    match outcome {
        AppendOutcome::Stored { base_offset, .. } => *base_offset,
        _ => None,
    }
}
