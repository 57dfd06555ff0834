//! What became of a batch.

use crate::edits::Rejection;

/// What became of records of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// In the log, and as safe as the producer asked for.
    Stored {
        /// Where.
        partition: u32,
        /// The offset of the first record with this outcome; `None` where it is no longer known.
        base_offset: Option<u64>,
        /// Whether an earlier try had stored them already.
        duplicate: bool,
    },
    /// Dropped by an interceptor.
    Dropped,
    /// Rejected by an interceptor.
    Rejected(Rejection),
    /// Not stored, for good; the text says why.
    Failed(String),
    /// May or may not be stored.
    Unknown(String),
}

/// What became of the records of one batch, as runs of neighbours that share an outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Each outcome once.
    pub outcomes: Vec<Outcome>,
    /// How many records have which of them, in the order of the batch.
    pub runs: Vec<(u32, u32)>,
}

impl Outcomes {
    /// How many neighbouring records have which outcome, in the order of the batch.
    pub fn runs(&self) -> impl Iterator<Item = (u32, &Outcome)> {
        self.runs.iter().map(|(records, outcome)| {
            let at = usize::try_from(*outcome).expect("an index into memory");
            (*records, &self.outcomes[at])
        })
    }
}

/// A partition and the offset that a consumer group goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: u64,
}
