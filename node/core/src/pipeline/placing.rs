//! Where the records of a batch go.

use std::collections::BTreeMap;

use weir_wire::ids::{PartitionIndex, ProducerId};
use weir_wire::lane::{Outcome, Run};
use weir_wire::placement;

use super::answer::BadAnswer;

/// Which partition each record of a batch goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The partitions, each once, in the order in which the batch first names them: the parts of the batch.
    pub parts: Vec<PartitionIndex>,
    /// What became of records that go nowhere: dropped and rejected ones.
    pub settled: Vec<Outcome>,
    /// Which records belong to which part, in the order of the batch; `outcome` is an index into `parts`, and behind
    /// those into `settled`.
    pub runs: Vec<Run>,
    /// The one part keeps the offsets of the records that are not in it: its batch has gaps.
    pub has_gaps: bool,
    /// One more part, behind the others.
    pub dead_letters: Option<DeadLetters>,
}

/// A part that goes to the topic's dead-letter topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadLetters {
    /// The partition of that topic.
    pub partition: PartitionIndex,
    /// Which of the settled outcomes its records have once it is stored; until then they have what became of the part.
    pub settled: u32,
}

impl Placement {
    /// All records in one partition, which gets a batch also if there are none.
    #[must_use]
    pub fn whole(partition: PartitionIndex, records: u32) -> Placement {
        let runs = if records == 0 { Vec::new() } else { vec![Run { records, outcome: 0 }] };
        Placement { parts: vec![partition], settled: Vec::new(), runs, has_gaps: false, dead_letters: None }
    }

    /// No record goes anywhere.
    #[must_use]
    pub fn nowhere() -> Placement {
        Placement {
            parts: Vec::new(),
            settled: Vec::new(),
            runs: Vec::new(),
            has_gaps: false,
            dead_letters: None,
        }
    }

    /// The placement that a partitioner answered.
    ///
    /// # Errors
    /// When there is not one partition per key, or one that the topic does not have.
    pub fn answered(answer: &[u32], keys: usize, partitions: u32) -> Result<Placement, BadAnswer> {
        if answer.len() != keys {
            return Err(BadAnswer::PartitionCount { answered: answer.len(), keys });
        }
        if let Some(index) = answer.iter().position(|partition| *partition >= partitions) {
            return Err(BadAnswer::NoSuchPartition { index, partition: answer[index], partitions });
        }
        let mut builder = PlacementBuilder::default();
        for partition in answer {
            builder.push(PartitionIndex(*partition));
        }
        Ok(builder.finish())
    }

    /// The partition that takes the whole batch, if one does: the batch then keeps its bytes.
    #[must_use]
    pub fn only_partition(&self) -> Option<PartitionIndex> {
        match self.parts[..] {
            [partition] if self.settled.is_empty() && self.dead_letters.is_none() => Some(partition),
            _ => None,
        }
    }
}

/// The default partitioner, for one batch. A pure function of the batch and these fields, so that a retry on
/// another node places every record as the first try did.
#[derive(Clone, Copy, Debug)]
pub struct DefaultPartitioner {
    /// How many partitions the topic has, at least 1.
    pub partitions: u32,
    /// The partition that the lane guesses, taken for records without a key.
    pub guess: Option<PartitionIndex>,
    /// The lane's producer, if it is idempotent.
    pub producer: Option<ProducerId>,
    /// The batch's number in its lane.
    pub ordinal: u64,
}

impl DefaultPartitioner {
    /// Places the records whose keys are given, in the order of the batch.
    pub fn place<'k>(&self, keys: impl IntoIterator<Item = Option<&'k [u8]>>) -> Placement {
        let unkeyed = self.guess.filter(|guess| guess.0 < self.partitions).unwrap_or_else(|| {
            placement::of_batch(self.producer.unwrap_or_default(), self.ordinal, self.partitions)
        });
        let mut builder = PlacementBuilder::default();
        let mut last: Option<(&[u8], PartitionIndex)> = None;
        for key in keys {
            let partition = match (key, last) {
                (None, _) => unkeyed,
                // Neighbours often share their key; comparing is cheaper than hashing.
                (Some(key), Some((same, partition))) if key == same => partition,
                (Some(key), _) => {
                    let partition = placement::of_key(key, self.partitions);
                    last = Some((key, partition));
                    partition
                }
            };
            builder.push(partition);
        }
        builder.finish()
    }
}

/// Collects a placement record by record.
#[derive(Debug, Default)]
struct PlacementBuilder {
    parts: Vec<PartitionIndex>,
    numbers: BTreeMap<PartitionIndex, u32>,
    runs: Vec<Run>,
}

impl PlacementBuilder {
    fn push(&mut self, partition: PartitionIndex) {
        if let Some(run) = self.runs.last_mut().filter(|run| self.parts[run.outcome as usize] == partition) {
            run.records += 1;
            return;
        }
        let parts = &mut self.parts;
        let number = *self.numbers.entry(partition).or_insert_with(|| {
            parts.push(partition);
            u32::try_from(parts.len() - 1).expect("there are at most 2^32 partitions")
        });
        self.runs.push(Run { records: 1, outcome: number });
    }

    fn finish(self) -> Placement {
        Placement {
            parts: self.parts,
            settled: Vec::new(),
            runs: self.runs,
            has_gaps: false,
            dead_letters: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: DefaultPartitioner =
        DefaultPartitioner { partitions: 12, guess: None, producer: Some(ProducerId(7)), ordinal: 8 };

    fn partitions(placement: &Placement) -> Vec<u32> {
        let of_run = |run: &Run| vec![placement.parts[run.outcome as usize].0; run.records as usize];
        placement.runs.iter().flat_map(of_run).collect()
    }

    #[test]
    fn keys_decide_and_the_order_of_the_batch_is_kept() {
        let keys = ["uw", "uw", "a", "foobar", "a"].map(|key| Some(key.as_bytes()));
        let placement = RULE.place(keys);
        assert_eq!(partitions(&placement), [11, 11, 7, 8, 7]);
        assert_eq!(placement.parts, [11, 7, 8].map(PartitionIndex));
        assert_eq!(placement.runs.len(), 4);
    }

    #[test]
    fn records_without_a_key_follow_the_guess_or_go_round_by_batch() {
        assert_eq!(partitions(&RULE.place([None, None])), [3, 3]);
        let guessed = DefaultPartitioner { guess: Some(PartitionIndex(5)), ..RULE };
        assert_eq!(partitions(&guessed.place([None, Some(&b"a"[..]), None])), [5, 7, 5]);
        let impossible = DefaultPartitioner { guess: Some(PartitionIndex(12)), ..RULE };
        assert_eq!(partitions(&impossible.place([None])), [3]);
    }

    #[test]
    fn a_whole_batch_is_one_part() {
        let placement = RULE.place([Some(&b"a"[..]); 3]);
        assert_eq!(placement, Placement::whole(PartitionIndex(7), 3));
        assert_eq!(placement.only_partition(), Some(PartitionIndex(7)));
        assert_eq!(RULE.place([Some(&b"a"[..]), Some(b"uw")]).only_partition(), None);
    }
}
