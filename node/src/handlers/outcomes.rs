//! How an append ended, as the client sees it: the one place where the core's words become the wire's.

use weir_core::partition::{
    AppendOutcome, FailReason, Interruption, RetireCause, RetryReason, UnknownReason,
};
use weir_core::pipeline::entry::PartPromise;
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::PartitionIndex;
use weir_wire::lane::Outcome;

/// The wire's outcome, and the promise kept where there is one.
pub(super) fn of_append(partition: PartitionIndex, outcome: AppendOutcome) -> (Outcome, Option<PartPromise>) {
    match outcome {
        AppendOutcome::Stored { base_offset, promise, duplicate } => {
            let kept = PartPromise { replicas: promise.replicas, flushed: promise.flushed };
            (Outcome::Stored { partition, base_offset, duplicate }, Some(kept))
        }
        AppendOutcome::Retry(reason) => (Outcome::Retry(retry(partition, reason)), None),
        AppendOutcome::Fenced { current } => {
            let sentence = format!(
                "a newer life of this producer id (epoch {current}) has written to partition {partition}; start anew"
            );
            (Outcome::Failed(WireError::new(ErrorCode::InvalidProducerEpoch, sentence)), None)
        }
        AppendOutcome::Failed(reason) => (Outcome::Failed(fail(partition, reason)), None),
        AppendOutcome::Unknown(reason) => (Outcome::Unknown(unknown(partition, reason)), None),
    }
}

fn retry(partition: PartitionIndex, reason: RetryReason) -> WireError {
    let (code, what) = match reason {
        RetryReason::NotLeader => (ErrorCode::NotLeader, "is not led by this node"),
        RetryReason::FencedLeaderEpoch { .. } => (ErrorCode::FencedLeaderEpoch, "has a newer leader epoch"),
        RetryReason::UnknownLeaderEpoch { .. } => {
            (ErrorCode::UnknownLeaderEpoch, "has not heard of this leader epoch yet")
        }
        RetryReason::MissingPart => (ErrorCode::MissingPart, "lacks an earlier part of this lane"),
        RetryReason::OutOfOrderSequence => {
            (ErrorCode::OutOfOrderSequence, "lacks an earlier batch of this producer")
        }
        RetryReason::NotEnoughReplicas => (ErrorCode::NotEnoughReplicas, "has too few replicas in sync"),
        RetryReason::Busy => (ErrorCode::Busy, "has too many batches waiting"),
        RetryReason::StorageFull => (ErrorCode::StorageFull, "lies on a full disk"),
        RetryReason::Interrupted(cause) => (interruption(cause), "could not keep the promise for this batch"),
        RetryReason::Retired(_) => (ErrorCode::StorageFailed, "is offline on this node, whose log says why"),
    };
    WireError::new(code, format!("partition {partition} {what}; nothing is lost, send again"))
}

fn fail(partition: PartitionIndex, reason: FailReason) -> WireError {
    match reason {
        FailReason::MessageTooLarge { limit } => WireError::new(
            ErrorCode::MessageTooLarge,
            format!("the batch is larger than the topic's max.message.bytes, {limit}; send smaller batches"),
        ),
        FailReason::InvalidBatch(why) => WireError::new(
            ErrorCode::CorruptBatch,
            format!(
                "the batch for partition {partition} contradicts itself ({why:?}); the client library is at fault"
            ),
        ),
        FailReason::TopicDeleted => WireError::new(ErrorCode::UnknownTopic, "the topic was deleted"),
        FailReason::LogFull => {
            WireError::new(ErrorCode::StorageFailed, format!("partition {partition} has no offsets left"))
        }
    }
}

fn unknown(partition: PartitionIndex, reason: UnknownReason) -> WireError {
    match reason {
        UnknownReason::NondeterministicPipeline => WireError::new(
            ErrorCode::NondeterministicPipeline,
            format!(
                "partition {partition} has another batch under this sequence; a plugin answered differently twice"
            ),
        ),
        UnknownReason::SequenceNotRemembered => WireError::new(
            ErrorCode::OutcomeUnknown,
            format!("partition {partition} no longer remembers whether it stored this sequence"),
        ),
        UnknownReason::Interrupted(cause) => WireError::new(
            interruption(cause),
            format!(
                "the batch may or may not stay stored in partition {partition}; without idempotence nobody can tell"
            ),
        ),
    }
}

fn interruption(cause: Interruption) -> ErrorCode {
    match cause {
        Interruption::LeadershipLost => ErrorCode::NotLeader,
        Interruption::NotEnoughReplicasAfterAppend => ErrorCode::NotEnoughReplicasAfterAppend,
        Interruption::Retired(RetireCause::Deleted) => ErrorCode::UnknownTopic,
        Interruption::Retired(_) => ErrorCode::StorageFailed,
    }
}
