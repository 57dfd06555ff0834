//! Where a consumer starts, how much it holds, and what it does when its position is gone.

use std::time::Duration;

use weir_wire::fetch::{FETCH_CREDIT_BYTES_MAX, Position};
use weir_wire::ids::Offset;
use weir_wire::names;
use weir_wire::request::JoinGroup;

use crate::error::ClientError;

/// How much a consumer holds, and what it does when its position is gone. Kafka's names stand in the descriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// What happens when a position is outside of what is stored (`auto.offset.reset`). Default: an error.
    pub reset: ResetPolicy,
    /// The most bytes, as they travel, that one node may have sent and the application has not taken
    /// (`fetch.max.bytes`): the credit of a fetch stream. Default 16 MiB.
    pub fetch_bytes: u32,
    /// About how many bytes of one partition come in one piece (`max.partition.fetch.bytes`). Default 1 MiB.
    pub partition_fetch_bytes: u32,
    /// The largest batch that is believed, and how far it may unpack. The defaults are above what any topic takes
    /// unless its `max.message.bytes` was raised above 32 MiB.
    pub batch_limits: weir_wire::batch::Limits,
    /// The group to take part in (`group.id`). Default: none.
    pub group: Option<String>,
    /// A name of this consumer that outlives its process (`group.instance.id`, KIP-345): when it was closed and comes
    /// back within its session, it has what it had, and nothing moves. One that was killed said no goodbye: its next life
    /// is refused and tries on until the session of the earlier one ended, since both may be alive (KIP-848,
    /// `UNRELEASED_INSTANCE_ID`). Default: none.
    pub group_instance: Option<String>,
    /// Whether what was handed out is committed by itself, when the application asks for more
    /// (`enable.auto.commit`). Default: yes.
    pub auto_commit: bool,
    /// How often that happens (`auto.commit.interval.ms`); also before a partition goes to another consumer, and at the
    /// end. Default 5 s.
    pub auto_commit_interval: Duration,
    /// How long the application may take to let go of a partition before it is expelled from the group
    /// (`max.poll.interval.ms`). Default 5 min.
    pub rebalance_timeout: Duration,
}

/// What happens when a position is outside of what is stored (`auto.offset.reset`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetPolicy {
    /// Go on at the first record stored: nothing that is left is skipped, and some may be read again.
    Earliest,
    /// Go on at the end: what lies between is skipped.
    Latest,
    /// [`ClientError::OffsetOutOfRange`], and the partition waits for a seek.
    #[default]
    None,
}

impl std::str::FromStr for ResetPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<ResetPolicy, String> {
        match text {
            "earliest" => Ok(ResetPolicy::Earliest),
            "latest" => Ok(ResetPolicy::Latest),
            "none" => Ok(ResetPolicy::None),
            _ => Err(format!("auto.offset.reset is earliest, latest or none, not '{text}'")),
        }
    }
}

/// Where to read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// The first record stored.
    Earliest,
    /// The end: only what is stored from now on.
    Latest,
    /// An offset.
    Offset(Offset),
    /// The first record at or after this time, in milliseconds since 1970; the end if there is none.
    Timestamp(i64),
    /// A position of an earlier consumer, with the epoch by which the cluster recognises that what was read before it
    /// is gone ([`ClientError::LogTruncated`]).
    Position(Position),
}

impl ConsumerConfig {
    pub(crate) fn check(&self) -> Result<(), ClientError> {
        let refuse = |what: String| Err(ClientError::Config(what));
        if self.fetch_bytes == 0 || u64::from(self.fetch_bytes) > FETCH_CREDIT_BYTES_MAX {
            return refuse(format!("fetch_bytes is 1 to {FETCH_CREDIT_BYTES_MAX}"));
        }
        if self.partition_fetch_bytes == 0 {
            return refuse("partition_fetch_bytes is above 0".to_owned());
        }
        if self.auto_commit && self.auto_commit_interval.is_zero() {
            return refuse("auto_commit_interval is above 0".to_owned());
        }
        let rebalance_max = Duration::from_millis(u64::from(JoinGroup::REBALANCE_TIMEOUT_MS_MAX));
        if self.rebalance_timeout > rebalance_max {
            return refuse(format!("rebalance_timeout is at most {} s", rebalance_max.as_secs()));
        }
        if let Some(group) = &self.group {
            names::check_group_name(group).map_err(|error| ClientError::Config(error.to_string()))?;
        }
        if let Some(instance) = &self.group_instance {
            names::check_instance_id(instance).map_err(|error| ClientError::Config(error.to_string()))?;
            if self.group.is_none() {
                return refuse("a group_instance is a name within a group: set group too".to_owned());
            }
        }
        Ok(())
    }

    pub(super) fn rebalance_timeout_ms(&self) -> u32 {
        u32::try_from(self.rebalance_timeout.as_millis()).unwrap_or(JoinGroup::REBALANCE_TIMEOUT_MS_MAX)
    }
}

impl Default for ConsumerConfig {
    fn default() -> ConsumerConfig {
        ConsumerConfig {
            reset: ResetPolicy::None,
            fetch_bytes: 16 * 1024 * 1024,
            partition_fetch_bytes: 1024 * 1024,
            batch_limits: weir_wire::batch::Limits {
                batch_bytes_max: weir_wire::frame::Limits::DATA.payload_bytes_max,
                uncompressed_bytes_max: 256 * 1024 * 1024,
                ..weir_wire::batch::Limits::default()
            },
            group: None,
            group_instance: None,
            auto_commit: true,
            auto_commit_interval: Duration::from_secs(5),
            rebalance_timeout: Duration::from_secs(5 * 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused() {
        let good = ConsumerConfig::default;
        assert!(good().check().is_ok());
        assert!(ConsumerConfig { fetch_bytes: 0, ..good() }.check().is_err());
        assert!(ConsumerConfig { fetch_bytes: u32::MAX, ..good() }.check().is_err());
        assert!(ConsumerConfig { partition_fetch_bytes: 0, ..good() }.check().is_err());
    }
}
