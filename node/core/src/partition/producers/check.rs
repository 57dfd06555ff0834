//! Whether a batch is news: the two checks.

use weir_wire::ids::{Offset, ProducerEpoch, Sequence};

use super::{
    CONTIGUOUS_SEQUENCES, ProducerState, Producers, REMEMBERED_CONTIGUOUS_MAX, RememberedBatch,
    wrapping_sequence,
};
use crate::partition::messages::{AppendCheck, BatchMeta, ProducerStamp};
use crate::partition::outcome::{RetryReason, UnknownReason};
use crate::partition::rules::{Rule, Rules};

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// News: append it.
    Append,
    /// An earlier try stored it.
    Stored {
        /// Where, if that is remembered.
        base_offset: Option<Offset>,
        /// Once this is committed, so is what was stored.
        covered_by: Offset,
    },
    /// A newer life of the producer is known.
    Fenced(ProducerEpoch),
    /// Something that must come first is not here.
    Missing(RetryReason),
    /// It cannot be told.
    Unknown(UnknownReason),
}

/// Where the producer's epoch stands against the remembered one.
enum Life<'a> {
    Older(ProducerEpoch),
    Same(&'a ProducerState),
    Newer,
    NotRemembered,
}

impl Producers {
    /// Checks a batch against what is remembered of its producer. Changes nothing.
    pub(crate) fn check(&self, rules: Rules, batch: &BatchMeta, check: AppendCheck) -> Verdict {
        let Some(stamp) = batch.producer else { return Verdict::Append };
        match check {
            AppendCheck::Unchecked => Verdict::Append,
            AppendCheck::Contiguous { after } => self.check_contiguous(rules, batch, stamp, after),
            AppendCheck::Lane { after } => self.check_lane(rules, batch, stamp, after),
        }
    }

    /// Kafka's check (`ProducerAppendInfo.checkProducerEpoch`, `checkSequence`, `ProducerStateEntry`): one of the last
    /// five batches again is a duplicate; otherwise the batch goes on where the last one ended; a new epoch starts
    /// at 0; an unknown producer starts anywhere, if nothing was sent before.
    ///
    /// Unlike Kafka, which calls both an out-of-order sequence, a batch *behind* the expected sequence is told from a
    /// gap: the records behind it were stored once, so "not stored" would be a lie, and trying again cannot help.
    fn check_contiguous(
        &self,
        rules: Rules,
        batch: &BatchMeta,
        stamp: ProducerStamp,
        after: Option<Sequence>,
    ) -> Verdict {
        let state = match self.life(rules, stamp) {
            Life::Older(current) => return Verdict::Fenced(current),
            Life::NotRemembered if after.is_some() && rules.hold(Rule::UnknownProducerStartsOver) => {
                return Verdict::Missing(RetryReason::MissingPart);
            }
            Life::NotRemembered => return Verdict::Append,
            Life::Newer if stamp.base_sequence == Sequence(0) => return Verdict::Append,
            Life::Newer => return Verdict::Missing(RetryReason::OutOfOrderSequence),
            Life::Same(state) => state,
        };
        let last_sequence = wrapping_sequence(stamp.base_sequence, batch.last_offset_delta);
        let same = |known: &&RememberedBatch| {
            known.base_sequence == stamp.base_sequence && known.last_sequence() == last_sequence
        };
        if let Some(known) = state.batches.iter().rev().take(REMEMBERED_CONTIGUOUS_MAX).find(same) {
            return Verdict::Stored { base_offset: Some(known.base_offset), covered_by: known.end() };
        }
        let expected = wrapping_sequence(state.newest().last_sequence(), 1);
        if stamp.base_sequence == expected {
            return Verdict::Append;
        }
        let ahead = stamp.base_sequence.0.wrapping_sub(expected.0) % CONTIGUOUS_SEQUENCES;
        if ahead < CONTIGUOUS_SEQUENCES / 2 {
            Verdict::Missing(RetryReason::OutOfOrderSequence)
        } else {
            Verdict::Unknown(UnknownReason::SequenceNotRemembered)
        }
    }

    /// The rule for one part of a lane with sequence `s` and link `after`, where `last` is the highest sequence
    /// stored: `s <= last` is already stored; `after > last`, or `after` where nothing is remembered, means that a
    /// part is missing; else it is news. The stored parts of a lane are then a gapless prefix of the lane's share of
    /// this partition, each once, whichever entry nodes, leaders, openings and message orders were involved.
    fn check_lane(
        &self,
        rules: Rules,
        batch: &BatchMeta,
        stamp: ProducerStamp,
        after: Option<Sequence>,
    ) -> Verdict {
        let state = match self.life(rules, stamp) {
            Life::Older(current) => return Verdict::Fenced(current),
            Life::Newer | Life::NotRemembered => {
                return if after.is_some() && rules.hold(Rule::UnknownProducerStartsOver) {
                    Verdict::Missing(RetryReason::MissingPart)
                } else {
                    Verdict::Append
                };
            }
            Life::Same(state) => state,
        };
        let highest = state.newest().base_sequence;
        if stamp.base_sequence <= highest && rules.hold(Rule::StoredOnce) {
            return stored_part(state, stamp.base_sequence, batch.last_offset_delta);
        }
        if after.is_some_and(|after| after > highest) && rules.hold(Rule::AfterIsStored) {
            return Verdict::Missing(RetryReason::MissingPart);
        }
        Verdict::Append
    }

    fn life(&self, rules: Rules, stamp: ProducerStamp) -> Life<'_> {
        let Some(state) = self.states.get(&stamp.id) else { return Life::NotRemembered };
        if stamp.epoch < state.epoch && rules.hold(Rule::OlderProducerEpochIsFenced) {
            Life::Older(state.epoch)
        } else if stamp.epoch > state.epoch && rules.hold(Rule::NewerProducerEpochResets) {
            Life::Newer
        } else {
            Life::Same(state)
        }
    }
}

/// A part at or below the highest stored sequence: stored, if the pipeline is a pure function. Where the memory
/// shows that it is not, or shows nothing, no success is made up. Parts are dense, so their offsets say how many records
/// there were; the record count of a batch may have become less by compaction.
fn stored_part(state: &ProducerState, sequence: Sequence, last_offset_delta: u32) -> Verdict {
    if let Some(known) = state.batches.iter().rev().find(|known| known.base_sequence == sequence) {
        return if known.last_offset_delta == last_offset_delta {
            Verdict::Stored { base_offset: Some(known.base_offset), covered_by: known.end() }
        } else {
            Verdict::Unknown(UnknownReason::NondeterministicPipeline)
        };
    }
    // Between remembered sequences, or before the first of a whole memory, there is nothing that was stored.
    let oldest = state.oldest();
    if sequence < oldest.base_sequence && state.overflowed {
        Verdict::Stored { base_offset: None, covered_by: oldest.base_offset }
    } else {
        Verdict::Unknown(UnknownReason::SequenceNotRemembered)
    }
}
