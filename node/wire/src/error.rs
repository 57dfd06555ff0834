//! What can go wrong between a client and a node, and what the receiver of the error may do about it.
//!
//! Names follow Kafka's protocol errors where Kafka has the thing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a receiver may do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// Passing: the same request may be sent again, after refreshing metadata.
    Retryable,
    /// The request will not succeed as it is, whatever the caller does about the request itself.
    Final,
    /// The request itself is wrong: the caller must change it.
    CallersFault,
}

/// A typed error. New codes are added at the end only: the number travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ErrorCode {
    /// Something inside the node failed that has no code of its own; the node's log says more.
    Internal,
    /// The request kind is unknown to this node, or not spoken at the negotiated version.
    UnsupportedRequest,
    /// The client and the node have no protocol version in common.
    UnsupportedVersion,
    /// The bytes are not what this place of the protocol must hold.
    InvalidRequest,
    /// The request names another cluster.
    WrongCluster,
    /// No topic of that name or id.
    UnknownTopic,
    /// The topic exists under another id: it was deleted and created again.
    TopicRecreated,
    /// The topic has no partition of that index.
    UnknownPartition,
    /// A topic of that name exists already.
    TopicAlreadyExists,
    /// The name breaks the rules of [`crate::names`].
    InvalidTopicName,
    /// A partition count of zero or above the limit.
    InvalidPartitions,
    /// A replication factor of zero or above the number of live nodes.
    InvalidReplicationFactor,
    /// An unknown configuration key, or a value that is not valid for it.
    InvalidConfig,
    /// The principal may not do this.
    Unauthorized,
    /// This node does not lead the partition.
    NotLeader,
    /// The request names an older leader epoch than the partition's (KIP-320).
    FencedLeaderEpoch,
    /// The request names a newer leader epoch than this node knows (KIP-320).
    UnknownLeaderEpoch,
    /// The partition has no leader at the moment.
    LeaderNotAvailable,
    /// The position is below the log start or above the log end; the message says the valid range.
    OffsetOutOfRange,
    /// The batch fails its checksum or is malformed.
    CorruptBatch,
    /// The batch is larger than the topic's `max.message.bytes`.
    MessageTooLarge,
    /// The batch unpacks to more than the node is willing to unpack.
    DecompressionLimit,
    /// A newer life of the producer id is known: this one may not produce any more (KIP-98).
    InvalidProducerEpoch,
    /// A sequence that does not follow the last one (KIP-98).
    OutOfOrderSequence,
    /// A part that must come first is missing: reopen the lane and send again from the oldest unsettled batch.
    MissingPart,
    /// A pipeline answered a resent batch in another way than the first time.
    NondeterministicPipeline,
    /// The lane was opened at a pipeline revision that takes no first-sent batches any more.
    StaleRevision,
    /// Fewer replicas in sync than `min.insync.replicas`; nothing was stored.
    NotEnoughReplicas,
    /// The batch is stored, but fewer replicas than `min.insync.replicas` were in sync when it was.
    NotEnoughReplicasAfterAppend,
    /// The outcome is not known and cannot be found out any more.
    OutcomeUnknown,
    /// The disk is full.
    StorageFull,
    /// The disk failed; the replica is offline until the node restarts.
    StorageFailed,
    /// The node is stopping: another one, or the same one later, will answer.
    ShuttingDown,
    /// A bounded queue of the node is full: slow down and send again.
    Busy,
    /// The request took longer than the node waits.
    TimedOut,
    /// This node does not coordinate the group.
    NotCoordinator,
    /// This node coordinates the group from now on, and still reads what its predecessor wrote.
    CoordinatorLoadInProgress,
    /// No group of that name.
    GroupIdNotFound,
    /// A name of a group, member or instance that breaks the rules of [`crate::names`].
    InvalidGroupId,
    /// The group has no such member, or its session ended: it lets go of everything and joins again.
    UnknownMemberId,
    /// The membership was superseded, or it confirmed nothing in time: it lets go of everything and joins again.
    FencedMemberEpoch,
    /// Another member that is alive has this `group.instance.id`.
    UnreleasedInstanceId,
    /// The group has as many members as it may have.
    GroupMaxSizeReached,
    /// The group has members, so this cannot be done to it.
    NonEmptyGroup,
    /// The pattern of a subscription is not a regular expression, or too large a one.
    InvalidRegularExpression,
    /// A subscription that names nothing, or too much.
    InvalidSubscription,
    /// There is no such assignor.
    UnsupportedAssignor,
    /// The member does not hold the partition, or has not held it all the time since it took the records.
    NotPartitionOwner,
    /// The metadata of a committed offset is longer than 4,096 bytes.
    OffsetMetadataTooLarge,
    /// An interceptor rejected the record; the message is its reason (KIP-467).
    InvalidRecord,
    /// A plugin failed on the batch, and its binding says that the records are rejected then.
    PluginFailed,
    /// A plugin failed on the batch, and the record was put into the topic's dead-letter topic instead.
    DeadLettered,
    /// No plugin of that name and version.
    UnknownPlugin,
    /// The plugin's name and version stand for other bytes.
    PluginAlreadyExists,
    /// A file that is no plugin, or a binding that cannot be.
    InvalidPlugin,
    /// A pipeline uses the plugin.
    PluginInUse,
    /// The topic's pipeline is not the one that the request is about.
    PipelineChanged,
    /// A node that must run the pipeline is not ready to.
    PipelineNotReady,
    /// Replicas that cannot be.
    InvalidReplicaAssignment,
}

impl ErrorCode {
    /// What the receiver may do.
    #[must_use]
    pub fn class(self) -> ErrorClass {
        use ErrorClass::{CallersFault, Final, Retryable};
        match self {
            ErrorCode::NotLeader
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::UnknownLeaderEpoch
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::MissingPart
            | ErrorCode::StaleRevision
            | ErrorCode::NotEnoughReplicas
            | ErrorCode::NotEnoughReplicasAfterAppend
            | ErrorCode::StorageFull
            | ErrorCode::ShuttingDown
            | ErrorCode::Busy
            | ErrorCode::TimedOut
            | ErrorCode::NotCoordinator
            | ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::UnreleasedInstanceId
            | ErrorCode::PipelineNotReady => Retryable,
            ErrorCode::Internal
            | ErrorCode::WrongCluster
            | ErrorCode::TopicRecreated
            | ErrorCode::InvalidProducerEpoch
            | ErrorCode::OutOfOrderSequence
            | ErrorCode::NondeterministicPipeline
            | ErrorCode::OutcomeUnknown
            | ErrorCode::StorageFailed
            | ErrorCode::UnknownMemberId
            | ErrorCode::FencedMemberEpoch
            | ErrorCode::NotPartitionOwner
            | ErrorCode::GroupMaxSizeReached
            | ErrorCode::PluginFailed
            | ErrorCode::DeadLettered => Final,
            ErrorCode::UnsupportedRequest
            | ErrorCode::UnsupportedVersion
            | ErrorCode::InvalidRequest
            | ErrorCode::UnknownTopic
            | ErrorCode::UnknownPartition
            | ErrorCode::TopicAlreadyExists
            | ErrorCode::InvalidReplicaAssignment
            | ErrorCode::InvalidTopicName
            | ErrorCode::InvalidPartitions
            | ErrorCode::InvalidReplicationFactor
            | ErrorCode::InvalidConfig
            | ErrorCode::Unauthorized
            | ErrorCode::OffsetOutOfRange
            | ErrorCode::CorruptBatch
            | ErrorCode::MessageTooLarge
            | ErrorCode::DecompressionLimit
            | ErrorCode::GroupIdNotFound
            | ErrorCode::InvalidGroupId
            | ErrorCode::NonEmptyGroup
            | ErrorCode::InvalidRegularExpression
            | ErrorCode::InvalidSubscription
            | ErrorCode::UnsupportedAssignor
            | ErrorCode::OffsetMetadataTooLarge
            | ErrorCode::InvalidRecord
            | ErrorCode::UnknownPlugin
            | ErrorCode::PluginAlreadyExists
            | ErrorCode::InvalidPlugin
            | ErrorCode::PluginInUse
            | ErrorCode::PipelineChanged => CallersFault,
        }
    }

    /// Whether the same request may be sent again.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        self.class() == ErrorClass::Retryable
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The variant names are Kafka's error names in another spelling: NotLeader is NOT_LEADER.
        for (index, letter) in format!("{self:?}").chars().enumerate() {
            if letter.is_ascii_uppercase() && index > 0 {
                f.write_str("_")?;
            }
            write!(f, "{}", letter.to_ascii_uppercase())?;
        }
        Ok(())
    }
}

/// An error as it travels: a code for the program, a sentence for the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub struct WireError {
    /// What happened, for programs.
    pub code: ErrorCode,
    /// What happened and what to do about it, for people. At most [`WireError::MESSAGE_BYTES_MAX`] bytes.
    pub message: String,
}

impl WireError {
    /// Longer sentences are cut when the error is made.
    pub const MESSAGE_BYTES_MAX: usize = 1024;

    /// An error with its sentence.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> WireError {
        let mut message = message.into();
        if message.len() > Self::MESSAGE_BYTES_MAX {
            let cut = (0..=Self::MESSAGE_BYTES_MAX).rev().find(|at| message.is_char_boundary(*at));
            message.truncate(cut.unwrap_or(0));
        }
        WireError { code, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_shown_in_kafkas_spelling() {
        assert_eq!(ErrorCode::NotEnoughReplicasAfterAppend.to_string(), "NOT_ENOUGH_REPLICAS_AFTER_APPEND");
        assert_eq!(ErrorCode::Internal.to_string(), "INTERNAL");
    }

    #[test]
    fn a_long_sentence_is_cut_at_a_character() {
        let error = WireError::new(ErrorCode::Internal, "é".repeat(2000));
        assert!(error.message.len() <= WireError::MESSAGE_BYTES_MAX);
        assert!(error.message.ends_with('é'));
    }
}
