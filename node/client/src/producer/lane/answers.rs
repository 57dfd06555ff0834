//! Reading an answer: whether it covers its batch, and what it says of each record.

use weir_wire::lane::{LaneAnswer, Outcome};

use crate::producer::delivery::{DeliveryResult, SettledRun};

/// Whether the runs cover just the records of the batch.
pub(super) fn is_whole(answer: &LaneAnswer, records: u32) -> bool {
    let known = |outcome: u32| usize::try_from(outcome).is_ok_and(|at| at < answer.outcomes.len());
    let sum: u64 = answer.runs.iter().map(|run| u64::from(run.records)).sum();
    sum == u64::from(records) && answer.runs.iter().all(|run| run.records > 0 && known(run.outcome))
}

/// The results in the order of the batch. An outcome's offsets go on from one of its runs to the next.
pub(super) fn settled_runs(answer: &LaneAnswer) -> Vec<SettledRun> {
    let mut taken = vec![0_u32; answer.outcomes.len()];
    let runs = answer.runs.iter().map(|run| {
        let at = usize::try_from(run.outcome).expect("the answer was found to be whole");
        let behind = taken[at];
        taken[at] += run.records;
        let first = match &answer.outcomes[at] {
            Outcome::Stored { partition, base_offset, duplicate } => DeliveryResult::Stored {
                partition: *partition,
                offset: base_offset.map(|base| base + u64::from(behind)),
                duplicate: *duplicate,
                promise: answer.promise,
            },
            Outcome::Dropped => DeliveryResult::Dropped,
            Outcome::Rejected(error) => DeliveryResult::Rejected(error.clone()),
            Outcome::Failed(error) => DeliveryResult::Failed(error.clone()),
            Outcome::Unknown(error) => DeliveryResult::Unknown(error.clone()),
            Outcome::Retry(_) => unreachable!("an answer with a retry settles nothing"),
        };
        SettledRun { records: run.records, first }
    });
    runs.collect()
}
