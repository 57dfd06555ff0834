//! What can go wrong for an application, and what it may do about it.

use std::sync::Arc;
use std::time::Duration;

use weir_quic::certs::CertsError;
use weir_wire::batch::BatchError;
use weir_wire::error::{ErrorClass, ErrorCode, WireError};
use weir_wire::fetch::Position;
use weir_wire::ids::{Offset, PartitionIndex};

/// Why a call failed. [`class`](ClientError::class) says what to do about it; the library has already tried again
/// what is worth trying again, for as long as the configuration allows.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// A setting that cannot be used.
    #[error("invalid configuration: {0}")]
    Config(String),
    /// The client's certificate cannot be used.
    #[error(transparent)]
    Certificates(Arc<CertsError>),
    /// No socket to connect from.
    #[error("cannot open a socket to connect from: {0}")]
    Socket(String),
    /// No node answered.
    #[error("cannot reach the cluster: {}. Is a node running there, and is it this cluster's --certs?", .tried.join("; "))]
    Unreachable {
        /// What was tried, each with what happened.
        tried: Vec<String>,
    },
    /// A node that is needed cannot be reached, for a reason that trying again does not mend.
    #[error("{0}")]
    Refused(String),
    /// The connection ended while an answer was waited for; whether the request was carried out is not known.
    #[error("the connection to {address} was lost: {reason}")]
    ConnectionLost {
        /// The node's address.
        address: String,
        /// What ended it.
        reason: String,
    },
    /// No answer in time.
    #[error("no answer to {what} within {} ms", .after.as_millis())]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
    },
    /// A node answered with an error.
    #[error("{0}")]
    Node(WireError),
    /// There is no such topic.
    #[error("topic '{topic}' does not exist; create it with: weir topics create {topic}")]
    UnknownTopic {
        /// The name asked for.
        topic: String,
    },
    /// The topic that was used under this name was deleted, and another one has the name now. What was opened for the old
    /// one never goes on in the new one by itself.
    #[error("topic '{topic}' was deleted and created again: start anew to go on in the new one")]
    TopicRecreated {
        /// The name of both.
        topic: String,
    },
    /// The topic has no such partition.
    #[error("topic '{topic}' has no partition {partition}; it has {count}, numbered from 0")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition asked for.
        partition: PartitionIndex,
        /// How many there are.
        count: usize,
    },
    /// A position outside of what is stored, and no reset policy to choose another.
    #[error(
        "offset {position} of {topic}-{partition} is not stored; {log_start} to {high_watermark} is: seek there, or set a reset policy"
    )]
    OffsetOutOfRange {
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionIndex,
        /// The position asked for.
        position: Offset,
        /// The first offset stored.
        log_start: Offset,
        /// The end of what may be read.
        high_watermark: Offset,
    },
    /// Records that this consumer has read are gone: the log was cut back below its position (KIP-320). The partition
    /// waits for a seek.
    #[error(
        "the log of {topic}-{partition} was truncated below offset {}: what was read from {} on is gone; seek to go on",
        .position.offset, .diverges_at.offset
    )]
    LogTruncated {
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionIndex,
        /// Where the consumer was.
        position: Position,
        /// Where its history and the log part.
        diverges_at: Position,
    },
    /// A batch that does not hold together. The partition waits for a seek.
    #[error("a batch of {topic}-{partition} at or after offset {offset} cannot be read: {reason}")]
    CorruptBatch {
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionIndex,
        /// The position at which it was read.
        offset: Offset,
        /// What is wrong with it.
        reason: BatchError,
    },
    /// The partition is not assigned to this consumer.
    #[error("{topic}-{partition} is not assigned to this consumer; assign it first")]
    NotAssigned {
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionIndex,
    },
    /// The group has not come anywhere in the partition yet, and no reset policy says where to begin. The partition waits
    /// for a seek.
    #[error("group '{group}' has committed nothing for {topic}-{partition}: seek, or set a reset policy")]
    NoCommittedOffset {
        /// The group.
        group: String,
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionIndex,
    },
    /// A node said what the protocol does not allow.
    #[error("{address} broke the protocol: {detail}; is it a weir node of this version?")]
    Protocol {
        /// The node's address.
        address: String,
        /// What it did.
        detail: String,
    },
    /// The client, or what was made from it, was closed.
    #[error("the client is closed")]
    Closed,
}

impl ClientError {
    /// What the caller may do: try again later, change the call, or give up.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            ClientError::Unreachable { .. }
            | ClientError::ConnectionLost { .. }
            | ClientError::TimedOut { .. } => ErrorClass::Retryable,
            ClientError::Node(error) => error.code.class(),
            ClientError::Config(_)
            | ClientError::Certificates(_)
            | ClientError::UnknownTopic { .. }
            | ClientError::UnknownPartition { .. }
            | ClientError::NotAssigned { .. }
            | ClientError::NoCommittedOffset { .. }
            | ClientError::OffsetOutOfRange { .. } => ErrorClass::CallersFault,
            ClientError::Socket(_)
            | ClientError::Refused(_)
            | ClientError::TopicRecreated { .. }
            | ClientError::LogTruncated { .. }
            | ClientError::CorruptBatch { .. }
            | ClientError::Protocol { .. }
            | ClientError::Closed => ErrorClass::Final,
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.class() == ErrorClass::Retryable
    }

    /// The node's error code, where a node's answer is the cause.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            ClientError::Node(error) => Some(error.code),
            ClientError::UnknownTopic { .. } => Some(ErrorCode::UnknownTopic),
            ClientError::TopicRecreated { .. } => Some(ErrorCode::TopicRecreated),
            ClientError::UnknownPartition { .. } => Some(ErrorCode::UnknownPartition),
            ClientError::OffsetOutOfRange { .. } => Some(ErrorCode::OffsetOutOfRange),
            _ => None,
        }
    }
}

impl From<WireError> for ClientError {
    fn from(error: WireError) -> ClientError {
        ClientError::Node(error)
    }
}

impl From<CertsError> for ClientError {
    fn from(error: CertsError) -> ClientError {
        ClientError::Certificates(Arc::new(error))
    }
}

/// Why a record was not taken by [`Producer::send`](crate::Producer::send). Nothing of it was sent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SendError {
    /// The record does not fit into the largest batch that its topic takes.
    #[error(
        "a record of {bytes} bytes is too large for topic '{topic}', which takes batches of at most {limit} bytes: send less, or raise max.message.bytes"
    )]
    RecordTooLarge {
        /// The topic.
        topic: String,
        /// What a batch with just this record may take.
        bytes: usize,
        /// The topic's `max.message.bytes`.
        limit: u32,
    },
    /// The buffer was full for all of `max_block`: the cluster takes records more slowly than they are sent.
    #[error("the producer's buffer was full for {} ms: send more slowly, or raise buffer_bytes", .after.as_millis())]
    BufferFull {
        /// How long the call waited.
        after: Duration,
    },
    /// The producer was closed.
    #[error("the producer is closed")]
    Closed,
    /// The record's topic or partition could not be looked up.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl SendError {
    /// What the caller may do.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            SendError::RecordTooLarge { .. } => ErrorClass::CallersFault,
            SendError::BufferFull { .. } => ErrorClass::Retryable,
            SendError::Closed => ErrorClass::Final,
            SendError::Client(error) => error.class(),
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.class() == ErrorClass::Retryable
    }
}
